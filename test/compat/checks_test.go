package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// check is a row of the matrix: something that backups need of a server.
type check struct {
	name string
	run  func(*scene) error
}

func checks() []check {
	all := []check{
		{"objects of one request and of several parts", sizes},
		{"overwrite, existence, deletion", lifecycle},
		{"names with spaces, `+`, `%`, unicode", names},
		{"more than 1,000 keys and prefixes", listing},
		{"download continues after broken connections", resume},
		{"a failed upload leaves nothing", abort},
		{"signed URLs", signed},
		{"tagging", tags},
		{"errors say what is wrong", refusals},
	}
	for _, algorithm := range []string{"absent", "", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		name := "checksumAlgorithm `" + algorithm + "`"
		switch algorithm {
		case "absent":
			name = "checksumAlgorithm not set"
		case "":
			name = "checksumAlgorithm `\"\"`"
		}
		all = append(all, check{name, func(s *scene) error { return s.checksums(algorithm) }})
	}
	return append(all,
		check{damageDefault, func(s *scene) error { return s.damage() }},
		check{damageSigned, func(s *scene) error { return s.damage("checksumAlgorithm", "") }},
	)
}

// Checks that servers are known to fail.
const (
	damageDefault = "damage on the way is noticed, checksumAlgorithm not set"
	damageSigned  = "damage on the way is noticed, checksumAlgorithm `\"\"`"
)

func sizes(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	for _, size := range []int{1, 16 << 10, partSize - 1, partSize, partSize + 1, 4*partSize + 1} {
		if err := s.roundTrip(store, fmt.Sprintf("backups/b/%d", size), random(size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

func lifecycle(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	const key = "backups/b/velero-backup.json"
	exists := func(want bool) error {
		if found, err := store.ObjectExists(s.ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); err != nil || found.Exists != want {
			return fmt.Errorf("exists: %v, %v", found.Exists, err)
		}
		return nil
	}
	if err := exists(false); err != nil {
		return err
	}
	if _, err := s.read(store, key); !errors.Is(err, s3.CodeNoSuchKey) {
		return fmt.Errorf("reading an absent object: %v", err)
	}
	for _, size := range []int{10, partSize + 1, 20} {
		if err := s.roundTrip(store, key, random(size)); err != nil {
			return err
		}
	}
	if err := exists(true); err != nil {
		return err
	}
	for range 2 {
		if _, err := store.DeleteObject(s.ctx, sdk.DeleteObjectInput{Bucket: s.bucket, Key: key}); err != nil {
			return err
		}
		if err := exists(false); err != nil {
			return err
		}
	}
	return nil
}

func names(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	keys := []string{"n/a b/c+d", "n/p%20q/%", "n/question?x=1&y=2#z", "n/quote'\"()!*", "n/ünïcödé/日本/🚀", "n/~a_b-c.d,e;f:g@h=i$"}
	for _, key := range keys {
		if err := s.roundTrip(store, key, []byte(key)); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if found, err := store.ObjectExists(s.ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); !found.Exists || err != nil {
			return fmt.Errorf("%q exists: %v, %v", key, found.Exists, err)
		}
	}
	listed, err := store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "n/"})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	if !slices.Equal(listed.Keys, keys) {
		return fmt.Errorf("listed %q, want %q", listed.Keys, keys)
	}
	for _, key := range keys {
		if _, err := store.DeleteObject(s.ctx, sdk.DeleteObjectInput{Bucket: s.bucket, Key: key}); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
	}
	if listed, err = store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "n/"}); err != nil || len(listed.Keys) > 0 {
		return fmt.Errorf("after the deletion: %q, %v", listed.Keys, err)
	}
	return nil
}

// listed is how many keys and prefixes there are: more than a page holds.
const listed = 1100

func listing(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	var keys, prefixes []string
	for i := range listed {
		prefixes = append(prefixes, fmt.Sprintf("p/backups/b%04d/", i))
		keys = append(keys, prefixes[i]+"velero-backup.json")
	}
	if err := s.fill(append(keys, "p/backups/file", "q/other")); err != nil {
		return err
	}
	keys = append(keys, "p/backups/file")
	slices.Reverse(keys)

	listed, err := store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "p/"})
	if err != nil {
		return err
	}
	if !slices.Equal(listed.Keys, keys) {
		return fmt.Errorf("%d keys, want %d in descending order", len(listed.Keys), len(keys))
	}
	for query, want := range map[string][]string{"p/backups/": prefixes, "": {"p/", "q/"}, "absent/": nil, "p/backups/b00": prefixes[:100]} {
		listed, err := store.ListCommonPrefixes(s.ctx, sdk.ListCommonPrefixesInput{Bucket: s.bucket, Prefix: query, Delimiter: "/"})
		if err != nil {
			return err
		}
		if !slices.Equal(listed.Prefixes, want) {
			return fmt.Errorf("%d prefixes of %q, want %d", len(listed.Prefixes), query, len(want))
		}
	}
	if listed, err = store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "absent/"}); err != nil || len(listed.Keys) > 0 {
		return fmt.Errorf("keys of an absent prefix: %q, %v", listed.Keys, err)
	}
	return nil
}

// fill adds small objects with the client.
func (s *scene) fill(keys []string) error {
	queue := make(chan string, len(keys))
	for _, key := range keys {
		queue <- key
	}
	close(queue)
	var workers sync.WaitGroup
	failed := make(chan error, len(keys))
	for range 8 {
		workers.Go(func() {
			for key := range queue {
				_, err := s.client.PutObject(s.ctx, s.bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
				if err != nil {
					failed <- err
				}
			}
		})
	}
	workers.Wait()
	close(failed)
	return <-failed
}

func resume(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	body := random(8 * partSize)
	if _, err := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: "large", Body: bytes.NewReader(body)}); err != nil {
		return err
	}
	const broken = 5
	s.proxy.Inject(broken, s3proxy.Operations("GetObject"), inject.ResetResponse(300<<10))
	got, err := s.read(store, "large")
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("%d bytes instead of %d, or others", len(got), len(body))
	}
	if n := s.proxy.Count("GetObject"); n <= broken {
		return fmt.Errorf("%d requests", n)
	}
	return nil
}

func abort(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	ended := errors.New("the source broke")
	parts := func() error { return s.awaitRequest("UploadPart") }
	source := io.MultiReader(bytes.NewReader(random(2*partSize+1)), &after{parts, iotest.ErrReader(ended)})
	if _, err := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: source}); !errors.Is(err, ended) {
		return fmt.Errorf("an upload from a broken source: %v", err)
	}
	if s.proxy.Count("AbortMultipartUpload") == 0 {
		return errors.New("the upload was not aborted")
	}
	if found, err := store.ObjectExists(s.ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: "k"}); found.Exists || err != nil {
		return fmt.Errorf("the object is visible: %v, %v", found.Exists, err)
	}
	for upload := range s.client.ListIncompleteUploads(s.ctx, s.bucket, "k", true) {
		return fmt.Errorf("the upload is left: %+v", upload)
	}
	return nil
}

// after is a source that waits once before it is read.
type after struct {
	wait func() error
	io.Reader
}

func (a *after) Read(p []byte) (int, error) {
	if err := a.wait(); err != nil {
		return 0, err
	}
	return a.Reader.Read(p)
}

// awaitRequest waits for the first request of an operation.
func (s *scene) awaitRequest(operation string) error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	return stack.Await(ctx, func() error {
		if s.proxy.Count(operation) == 0 {
			return errors.New("no " + operation)
		}
		return nil
	})
}

func signed(s *scene) error {
	const key = "backups/b/a b+ü.tar.gz"
	public := s.server.url
	store, err := s.store("publicUrl", public)
	if err != nil {
		return err
	}
	body := random(1000)
	if err := s.roundTrip(store, key, body); err != nil {
		return err
	}
	signed, err := store.CreateSignedURL(s.ctx, sdk.CreateSignedURLInput{Bucket: s.bucket, Key: key, TTL: 10 * time.Minute})
	if err != nil {
		return err
	}
	if !strings.HasPrefix(signed.URL, public) {
		return fmt.Errorf("the URL points to %s", signed.URL)
	}
	status, got, err := s.fetch(signed.URL)
	if err != nil || status != http.StatusOK || !bytes.Equal(got, body) {
		return fmt.Errorf("the URL gives %d, %d bytes, %v", status, len(got), err)
	}
	for _, change := range []string{"X-Amz-Expires", "X-Amz-Signature"} {
		u, err := url.Parse(signed.URL)
		if err != nil {
			return err
		}
		query := u.Query()
		query.Set(change, query.Get(change)+"0")
		u.RawQuery = query.Encode()
		if status, _, err := s.fetch(u.String()); err != nil || status < 400 || status > 499 {
			return fmt.Errorf("with another %s the URL gives %d, %v", change, status, err)
		}
	}
	return nil
}

func (s *scene) fetch(link string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, link, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func tags(s *scene) error {
	store, err := s.store("tagging", "team=backup&cost centre=42")
	if err != nil {
		return err
	}
	for _, size := range []int{10, partSize + 1} {
		key := fmt.Sprint(size)
		if err := s.roundTrip(store, key, random(size)); err != nil {
			return err
		}
		set, err := s.client.GetObjectTagging(s.ctx, s.bucket, key, minio.GetObjectTaggingOptions{})
		if err != nil {
			return fmt.Errorf("the tags of an object of %d bytes: %w", size, err)
		}
		if m := set.ToMap(); len(m) != 2 || m["team"] != "backup" || m["cost centre"] != "42" {
			return fmt.Errorf("the tags of an object of %d bytes: %v", size, m)
		}
	}
	return nil
}

// refusals checks the errors of the commonest mistakes.
func refusals(s *scene) error {
	unknown, err := s.credentials("nobody", s.server.secretKey)
	if err != nil {
		return err
	}
	wrong, err := s.credentials(s.server.accessKey, "wrong-secret")
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name    string
		changes []string
		bucket  string
		code    fault.Code
	}{
		{"unknown key", []string{"credentialsFile", unknown}, s.bucket, awsaccess.CodeUnknownAccessKey},
		{"wrong secret", []string{"credentialsFile", wrong}, s.bucket, awsaccess.CodeWrongSecretKey},
		{"absent bucket", nil, "compat-no-such-bucket", s3.CodeNoSuchBucket},
	} {
		store, err := s.store(c.changes...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		_, listErr := store.ListCommonPrefixes(s.ctx, sdk.ListCommonPrefixesInput{Bucket: c.bucket, Delimiter: "/"})
		_, putErr := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: c.bucket, Key: "k", Body: bytes.NewReader(random(10))})
		_, largeErr := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: c.bucket, Key: "k", Body: bytes.NewReader(random(partSize + 1))})
		for call, err := range map[string]error{"list": listErr, "put": putErr, "multipart": largeErr} {
			if !errors.Is(err, c.code) {
				return fmt.Errorf("%s: %s: %v", c.name, call, err)
			}
		}
	}
	return nil
}

// checksums puts objects with an algorithm.
func (s *scene) checksums(algorithm string) error {
	var changes []string
	if algorithm != "absent" {
		changes = []string{"checksumAlgorithm", algorithm}
	}
	store, err := s.store(changes...)
	if err != nil {
		return err
	}
	for _, size := range []int{1000, 2*partSize + 7} {
		if err := s.roundTrip(store, fmt.Sprint(size), random(size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

// damage changes what is sent, and wants the server to refuse it.
func (s *scene) damage(changes ...string) error {
	store, err := s.store(changes...)
	if err != nil {
		return err
	}
	s.proxy.Inject(inject.Always, s3proxy.Operations("PutObject", "UploadPart"), inject.Damage())
	for _, size := range []int{1000, partSize + 1} {
		key := fmt.Sprint(size)
		_, err := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(random(size))})
		if err == nil {
			return fmt.Errorf("%d bytes that were changed on the way are taken", size)
		}
		if !errors.Is(err, s3.CodeDamaged) {
			return err
		}
		if found, err := store.ObjectExists(s.ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); found.Exists || err != nil {
			return fmt.Errorf("%d damaged bytes are visible: %v, %v", size, found.Exists, err)
		}
	}
	return nil
}
