package objectstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

const mib = 1 << 20

// Each method does what Bucket says.
func TestBucket(t *testing.T) {
	for _, secure := range []bool{overHTTP, overTLS} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			s := newScene(t, secure)
			b, ctx := s.mustOpen(), t.Context()
			start := time.Now().Add(-time.Minute)
			for _, size := range []int{0, 1, 71, 5 * mib, 5*mib + 1, 13 * mib} {
				key, body := fmt.Sprintf("docker/registry/v2/blobs/%d", size), random(size)
				for _, again := range []io.Reader{bytes.NewReader(body), stream(body)} {
					if err := b.Put(ctx, key, again); err != nil {
						t.Fatalf("put of %d bytes: %v", size, err)
					}
					if got, err := get(ctx, b, key); err != nil || !bytes.Equal(got, body) {
						t.Errorf("get of %d bytes: %d, %v", size, len(got), err)
					}
				}
				if info, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{}); err != nil || info.Size != int64(size) {
					t.Errorf("the object is not at the bucket's root: %v", err)
				}
				o, err := b.Stat(ctx, key)
				if err != nil || o.Key != key || o.Size != int64(size) || o.Modified.Before(start) || time.Since(o.Modified) < -time.Minute {
					t.Errorf("stat of %d bytes: %+v, %v", size, o, err)
				}
			}
			for range 2 {
				if err := b.Delete(ctx, "docker/registry/v2/blobs/71"); err != nil {
					t.Error(err)
				}
			}
			if _, err := b.Stat(ctx, "docker/registry/v2/blobs/71"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("stat of a deleted object: %v", err)
			}
		})
	}
}

func TestAbsentObject(t *testing.T) {
	s := newScene(t, overHTTP)
	b := s.mustOpen()
	_, statErr := b.Stat(t.Context(), "docker/absent")
	_, getErr := get(t.Context(), b, "docker/absent")
	for _, err := range []error{statErr, getErr} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "docker/absent") || !strings.Contains(err.Error(), s.bucket) {
			t.Errorf("error: %v", err)
		}
	}
}

func TestList(t *testing.T) {
	s := newScene(t, overHTTP)
	b := s.mustOpen()
	want := map[string]int{}
	objects := make(chan minio.SnowballObject, 1501)
	for i := range 1500 {
		key := fmt.Sprintf("docker/registry/oadp/refs/v1/%04d", i)
		want[key] = i % 7
		objects <- minio.SnowballObject{Key: key, Size: int64(i % 7), Content: strings.NewReader("1234567"[:i%7]), ModTime: time.Now()}
	}
	objects <- minio.SnowballObject{Key: "other", Size: 1, Content: strings.NewReader("x"), ModTime: time.Now()}
	close(objects)
	if err := s.client.PutObjectsSnowball(t.Context(), s.bucket, minio.SnowballOptions{InMemory: true}, objects); err != nil {
		t.Fatal(err)
	}
	for o, err := range b.List(t.Context(), "docker/") {
		if err != nil {
			t.Fatal(err)
		}
		size, ok := want[o.Key]
		if !ok || o.Size != int64(size) || o.Modified.IsZero() {
			t.Errorf("listed %+v", o)
		}
		delete(want, o.Key)
	}
	if len(want) > 0 {
		t.Errorf("%d objects are not listed", len(want))
	}
	n := 0
	for range b.List(t.Context(), "docker/") {
		if n++; n == 3 {
			break
		}
	}
	for o, err := range b.List(t.Context(), "absent/") {
		t.Errorf("no match: %+v, %v", o, err)
	}
	var last error
	for _, last = range s.lostBucket().List(t.Context(), "docker/") {
	}
	if last == nil || !strings.Contains(last.Error(), "NoSuchBucket") || !strings.Contains(last.Error(), "docker/") {
		t.Errorf("absent bucket: %v", last)
	}
}

// A body that fails leaves nothing, and its error is not taken for one of the
// server.
func TestPutWhoseBodyFails(t *testing.T) {
	s := newScene(t, overHTTP)
	b := s.mustOpen()
	broken := errors.New("the registry broke")
	for name, size := range map[string]int{"at once": 0, "small": 100, "several parts": 12 * mib} {
		t.Run(name, func(t *testing.T) {
			err := b.Put(t.Context(), "docker/k", io.MultiReader(stream(random(size)), iotest.ErrReader(broken)))
			if !errors.Is(err, broken) || strings.Contains(err.Error(), "AWS_") || !strings.Contains(err.Error(), "docker/k") || !strings.Contains(err.Error(), s.bucket) {
				t.Errorf("error: %v", err)
			}
			s.nothingLeft("docker/k")
		})
	}
}

// A customer's key encrypts what this bucket stores, and opens it again.
func TestCustomerKey(t *testing.T) {
	s := newScene(t, overTLS)
	raw := strings.Repeat("k", 32)
	s.config["customerKeyEncryptionFile"] = file(t, "key", raw)
	b := s.mustOpen()
	key, err := encrypt.NewSSEC([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, 11 * mib} {
		body := random(size)
		if err := b.Put(t.Context(), "k", stream(body)); err != nil {
			t.Fatal(err)
		}
		if o, err := b.Stat(t.Context(), "k"); err != nil || o.Size != int64(size) {
			t.Errorf("%+v, %v", o, err)
		}
		if got, err := get(t.Context(), b, "k"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, err := s.client.StatObject(t.Context(), s.bucket, "k", minio.StatObjectOptions{}); err == nil {
			t.Error("the object is not encrypted")
		}
		if _, err := s.client.StatObject(t.Context(), s.bucket, "k", minio.StatObjectOptions{ServerSideEncryption: key}); err != nil {
			t.Error(err)
		}
	}
	var listed []string
	for o, err := range b.List(t.Context(), "") {
		listed = append(listed, fmt.Sprint(o.Key, o.Size, err))
	}
	if !slices.Equal(listed, []string{fmt.Sprint("k", 11*mib, nil)}) {
		t.Errorf("listed %v", listed)
	}
}
