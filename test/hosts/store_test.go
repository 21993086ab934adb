package hosts

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

func TestObjectStore(t *testing.T) {
	minio := servers.MinIO(t)
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		bucket := minio.NewBucket(t)
		h := start(t, release, aws)
		h.mustDiscover()
		store := h.plugin("ObjectStore", "velero.io/aws")
		store.mustCall("Init", []any{location(t, minio, bucket)})

		// The client sends 16 KiB at a time, and the plugin 5 MiB.
		sizes := []int{1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 5<<20 + 1}
		var keys []string
		for _, size := range sizes {
			key := fmt.Sprintf("backups/b%d/velero-backup.json", size)
			keys = append(keys, key)
			mustKeep(t, store, bucket, key, random(size))
		}
		mustKeep(t, store, bucket, keys[0], random(2)) // in place of what was there

		var listed, prefixes []string
		store.mustCall("ListObjects", []any{bucket, "backups/"}, &listed)
		slices.Sort(listed)
		slices.Sort(keys)
		if !slices.Equal(listed, keys) {
			t.Errorf("keys: %v", listed)
		}
		store.mustCall("ListCommonPrefixes", []any{bucket, "backups/", "/"}, &prefixes)
		if len(prefixes) != len(sizes) || !slices.Contains(prefixes, "backups/b1/") {
			t.Errorf("prefixes: %v", prefixes)
		}
		mustSign(t, store, bucket, keys[0])

		for _, key := range keys {
			store.mustCall("DeleteObject", []any{bucket, key})
			store.mustCall("DeleteObject", []any{bucket, key}) // absent is success
			if exists(store, bucket, key) {
				t.Errorf("%s is still there", key)
			}
		}
		store.mustFail("GetObject", []any{bucket, keys[0]}, keys[0], "S3_NO_SUCH_KEY")
	})
}

// TestObjectStoreErrors expects the store's own words, where older clients say
// no more than "EOF" of an upload that is refused too early.
func TestObjectStoreErrors(t *testing.T) {
	minio := servers.MinIO(t)
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, aws)
		h.mustDiscover()
		store := h.plugin("ObjectStore", "velero.io/aws")
		store.mustCall("Init", []any{location(t, minio, "nowhere")})
		for _, size := range []int{1, 16<<10 + 1, 12 << 20} {
			store.mustFail("PutObject", []any{"nowhere", "backups/a", random(size)}, "backups/a", "S3_NO_SUCH_BUCKET")
		}
		store.mustFail("ListObjects", []any{"nowhere", ""}, "S3_NO_SUCH_BUCKET")
		h.endTask() // a client takes one Init
		store.mustFail("Init", []any{map[string]string{"bucket": "b", "regin": "r"}}, "regin")
	})
}

// TestRestart kills a plugin between calls: the next one starts it again with
// its configuration.
func TestRestart(t *testing.T) {
	minio := servers.MinIO(t)
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		bucket := minio.NewBucket(t)
		h := start(t, release, aws, actions)
		h.provoked = "plugin process exited"
		h.mustDiscover()
		store := h.plugin("ObjectStore", "velero.io/aws")
		store.mustCall("Init", []any{location(t, minio, bucket)})
		disks := h.plugin("VolumeSnapshotter", "example.io/disks")
		disks.mustCall("Init", []any{map[string]string{"class": "fast"}})
		for range 3 {
			h.kill()
			// Calls fail until the client has noticed.
			h.await(func() error { return disks.call("GetVolumeInfo", []any{"d1", "z"}, nil, nil) })
			h.await(func() error { return store.call("ObjectExists", []any{bucket, "k"}, nil) })
			var class string
			disks.mustCall("GetVolumeInfo", []any{"d1", "z"}, &class, nil)
			if class != "d1 in z is fast" {
				t.Errorf("volume type %q", class)
			}
			mustKeep(t, store, bucket, "backups/b/k", random(1000))
		}
	})
}

// location is the configuration that Velero makes of a backup storage location.
func location(t *testing.T, minio *stack.MinIO, bucket string) map[string]string {
	t.Helper()
	l := minio.S3Location("default", bucket)
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, l.Credential, 0o600); err != nil {
		t.Fatal(err)
	}
	config := map[string]string{"bucket": bucket, "prefix": "", "caCert": string(l.CAPEM), "credentialsFile": credentials}
	for key, value := range l.Config {
		config[key] = value
	}
	return config
}

func random(size int) []byte {
	body := make([]byte, size)
	_, _ = rand.Read(body) // never fails
	return body
}

// mustKeep stores an object and reads it back.
func mustKeep(t *testing.T, store plugin, bucket, key string, body []byte) {
	t.Helper()
	store.mustCall("PutObject", []any{bucket, key, body})
	if !exists(store, bucket, key) {
		t.Errorf("%s is not there", key)
	}
	var got []byte
	store.mustCall("GetObject", []any{bucket, key}, &got)
	if !bytes.Equal(got, body) {
		t.Errorf("%s: %d bytes come back other than the %d that were stored", key, len(got), len(body))
	}
}

func exists(store plugin, bucket, key string) (found bool) {
	store.host.t.Helper()
	store.mustCall("ObjectExists", []any{bucket, key}, &found)
	return found
}

// mustSign reads an object through a signed URL.
func mustSign(t *testing.T, store plugin, bucket, key string) {
	t.Helper()
	var url string
	var want []byte
	store.mustCall("CreateSignedURL", []any{bucket, key, time.Minute}, &url)
	store.mustCall("GetObject", []any{bucket, key}, &want)
	client := http.Client{Transport: servers.MinIO(t).Transport()}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
		t.Errorf("signed URL: %s, %d bytes", response.Status, len(got))
	}
}
