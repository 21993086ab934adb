package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
)

// Every way to send and to protect bytes, with what must not be sent.
func TestPutAndGet(t *testing.T) {
	for _, secure := range []bool{overHTTP, overTLS} {
		for _, algorithm := range []string{"-", "", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
			t.Run(fmt.Sprintf("tls %v checksum %q", secure, algorithm), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, secure)
				p := s.behind(s3proxy.Strict()...)
				store := s.store("checksumAlgorithm", algorithm)
				for _, size := range []int{1, partSize - 1, partSize, partSize + 1, 3 * partSize} {
					key, body := fmt.Sprintf("backups/b/%d", size), random(size)
					if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(body)}); err != nil {
						t.Fatalf("put of %d bytes: %v", size, err)
					}
					if !bytes.Equal(s.content(key), body) {
						t.Errorf("%d bytes: the object differs", size)
					}
					got, err := read(t, store, s.bucket, key)
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("get of %d bytes: %d, %v", size, len(got), err)
					}
				}
				if want := 3; p.Count("PutObject") != want {
					t.Errorf("%d of 5 uploads in one request, want %d", p.Count("PutObject"), want)
				}
				checkProtection(t, p.Requests(), secure, algorithm)
			})
		}
	}
}

// checkProtection checks the integrity headers of uploads, and that no request
// has an optional header that was not asked for.
func checkProtection(t *testing.T, requests []s3proxy.Request, secure bool, algorithm string) {
	t.Helper()
	if algorithm == "-" {
		algorithm = "CRC32"
	}
	header := "X-Amz-Checksum-" + http.CanonicalHeaderKey(strings.ToLower(algorithm))
	if algorithm == "" {
		header = ""
	}
	confirmed := false
	for _, r := range requests {
		op := r.Operation()
		upload := op == "PutObject" || op == "UploadPart"
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum-") && !(upload && name == header) && !(op == "CreateMultipartUpload" && name == "X-Amz-Checksum-Algorithm" && algorithm != "") {
				t.Errorf("%s carries %s", op, name)
			}
		}
		for _, name := range []string{"X-Amz-Tagging", "X-Amz-Storage-Class", "X-Amz-Acl", "X-Amz-Server-Side-Encryption", "Content-Md5"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s carries %s", op, name)
			}
		}
		if !upload {
			continue
		}
		if header != "" && r.Header.Get(header) == "" {
			t.Errorf("%s lacks %s", op, header)
		}
		if unsigned := r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD"; unsigned != (secure && algorithm != "" && confirmed) {
			t.Errorf("%s: unsigned payload: %v", op, unsigned)
		}
		confirmed = true // by the answer to the first
		if op == "PutObject" && r.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("content type %s", r.Header.Get("Content-Type"))
		}
	}
}

// An object that needs more parts than there are goes on in larger ones, up to the
// last. The benchmarks put 60 GiB that way.
func TestManyParts(t *testing.T) {
	const (
		parts = 10
		small = parts * 9 / 10 * partSize
		most  = small + 16*partSize
	)
	s := newScene(t, overHTTP)
	p := s.behind(s3proxy.Strict()...)
	store := s.store()
	store.LimitParts(parts)
	for size, fits := range map[int]bool{small + partSize: true, most: true, most + 1: false} {
		p.Reset(s3proxy.Strict()...)
		body := random(size)
		key := fmt.Sprint(size)
		_, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(body)})
		if !fits {
			if !errors.Is(err, s3.CodeTooLarge) || !strings.Contains(err.Error(), "multipartPartSizeMiB") {
				t.Errorf("%d bytes: %v", size, err)
			}
			s.nothingLeft(key)
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(s.content(key), body) {
			t.Errorf("%d bytes: the object differs", size)
		}
		for _, r := range p.Requests() {
			if r.Operation() != "UploadPart" {
				continue
			}
			want := int64(partSize)
			if r.Query.Get("partNumber") == fmt.Sprint(parts) {
				want = int64(size - small)
			}
			if r.ContentLength != want {
				t.Errorf("%d bytes: part %s has %d", size, r.Query.Get("partNumber"), r.ContentLength)
			}
		}
	}
}

func TestOverwriteExistsDelete(t *testing.T) {
	s := newScene(t, overHTTP)
	store := s.store()
	ctx := t.Context()
	keys := []string{"backups/a b/c+d", "backups/ünïcödé/日本", "backups/q?x=1&y=%20#f"}
	for _, key := range keys {
		if found, err := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); found.Exists || err != nil {
			t.Errorf("%s before: %v, %v", key, found.Exists, err)
		}
		for _, body := range []string{"first", "second"} {
			if _, err := store.PutObject(ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: strings.NewReader(body)}); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if got, err := read(t, store, s.bucket, key); err != nil || string(got) != body {
				t.Errorf("%s: %q, %v", key, got, err)
			}
			if found, err := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); !found.Exists || err != nil {
				t.Errorf("%s after: %v, %v", key, found.Exists, err)
			}
			if o, err := store.Stat(ctx, s.bucket, key); err != nil || o.Key != key || o.Size != int64(len(body)) || time.Since(o.Modified).Abs() > time.Minute {
				t.Errorf("%s: %+v, %v", key, o, err)
			}
			if string(s.content(key)) != body {
				t.Errorf("%s: another key was written", key)
			}
		}
		for range 2 {
			if _, err := store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: s.bucket, Key: key}); err != nil {
				t.Errorf("delete %s: %v", key, err)
			}
		}
		if found, _ := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); found.Exists {
			t.Errorf("%s is there after its deletion", key)
		}
		if o, err := store.Stat(ctx, s.bucket, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after its deletion: %+v, %v", key, o, err)
		}
	}
}

// Some servers answer 404 for the deletion of an absent object.
func TestDeleteAnswered404(t *testing.T) {
	s := newScene(t, overHTTP)
	p := s.behind()
	store := s.store()
	p.Inject(1, s3proxy.Operations("DeleteObject"), s3proxy.Answer(404, "NoSuchKey", "The specified key does not exist."))
	if _, err := store.DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: s.bucket, Key: "k"}); err != nil {
		t.Errorf("NoSuchKey: %v", err)
	}
	_, err := store.DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: "no-such-bucket-here", Key: "k"})
	if !errors.Is(err, s3.CodeNoSuchBucket) || !strings.HasPrefix(err.Error(), "error deleting object k: ") {
		t.Errorf("absent bucket: %v", err)
	}
}

func TestAbsent(t *testing.T) {
	s := newScene(t, overHTTP)
	store := s.store()
	_, err := read(t, store, s.bucket, "absent")
	if !errors.Is(err, s3.CodeNoSuchKey) || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "error getting object absent: NoSuchKey") {
		t.Errorf("absent object: %v", err)
	}
	if _, err = read(t, store, "no-such-bucket-here", "k"); !errors.Is(err, s3.CodeNoSuchBucket) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent bucket: %v", err)
	}
	_, err = store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: "no-such-bucket-here", Key: "k", Body: strings.NewReader("x")})
	if !errors.Is(err, s3.CodeNoSuchBucket) || !strings.HasPrefix(err.Error(), "error putting object k: NoSuchBucket") {
		t.Errorf("absent bucket: %v", err)
	}
}

func TestEmptyObject(t *testing.T) {
	s := newScene(t, overHTTP)
	s.add("folder/", nil)
	got, err := read(t, s.store(), s.bucket, "folder/")
	if err != nil || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// large is read in ranges.
var large = random(12*partSize + 1)

func TestGetLargeInRanges(t *testing.T) {
	s := newScene(t, overTLS)
	s.add("large", large)
	p := s.behind(s3proxy.Strict()...)
	store := s.store()
	got, err := read(t, store, s.bucket, "large")
	if err != nil || !bytes.Equal(got, large) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	requests := p.Requests()
	// How many ranges depends on how fast the server is.
	if len(requests) < 2 || len(requests) > 13 {
		t.Errorf("%d requests for an object of 12 ranges and a byte", len(requests))
	}
	for i, r := range requests {
		if r.Operation() != "GetObject" || (r.Header.Get("If-Match") == "") != (i == 0) {
			t.Errorf("request %d: %s with If-Match %q", i, r.Operation(), r.Header.Get("If-Match"))
		}
	}
}

func TestGetFaults(t *testing.T) {
	get := s3proxy.Operations("GetObject")
	t.Run("resets are resumed", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("large", large)
		p := s.behind()
		p.Inject(6, get, inject.ResetResponse(100<<10))
		got, err := read(t, s.store(), s.bucket, "large")
		if err != nil || !bytes.Equal(got, large) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("small object is resumed", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overTLS)
		s.add("small", large[:1<<20])
		p := s.behind()
		p.Inject(2, get, inject.ResetResponse(300<<10))
		got, err := read(t, s.store(), s.bucket, "small")
		if err != nil || !bytes.Equal(got, large[:1<<20]) || p.Count("GetObject") != 3 {
			t.Errorf("%d bytes, %v, %d requests", len(got), err, p.Count("GetObject"))
		}
	})
	t.Run("resets without progress end", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("small", large[:1<<20])
		p := s.behind()
		p.Inject(inject.Always, get, inject.ResetResponse(0))
		got, err := read(t, s.store(), s.bucket, "small")
		if err == nil || len(got) != 0 || !strings.Contains(err.Error(), "error getting object small") {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("ranges are ignored", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("large", large)
		p := s.behind()
		p.Inject(inject.Always, get, s3proxy.IgnoreRange(func(string, string) ([]byte, error) { return large, nil }))
		got, err := read(t, s.store(), s.bucket, "large")
		if err != nil || !bytes.Equal(got, large) || p.Count("GetObject") != 1 {
			t.Errorf("%d bytes, %v, %d requests", len(got), err, p.Count("GetObject"))
		}
	})
	t.Run("object changes", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("large", large)
		p := s.behind()
		object, err := s.store().GetObject(t.Context(), sdk.GetObjectInput{Bucket: s.bucket, Key: "large"})
		if err != nil {
			t.Fatal(err)
		}
		defer object.Body.Close()
		s.add("large", large[:len(large)-1])
		got, err := io.ReadAll(object.Body)
		if !errors.Is(err, s3.CodeChanged) || !bytes.HasPrefix(large, got) || p.Count("GetObject") < 2 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("closed in the middle of a stall", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("large", large)
		p := s.behind()
		p.Inject(inject.Always, get, inject.StallResponse(1000))
		object, err := s.store().GetObject(t.Context(), sdk.GetObjectInput{Bucket: s.bucket, Key: "large"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(object.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := object.Body.Close(); err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("Close took %v, %v", time.Since(start), err)
		}
	})
	t.Run("throttled", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		s.add("small", large[:1000])
		p := s.behind()
		p.Inject(2, get, s3proxy.SlowDown())
		got, err := read(t, s.store(), s.bucket, "small")
		if err != nil || len(got) != 1000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// Uploads get over passing trouble.
func TestPutRecovers(t *testing.T) {
	body := random(3*partSize + 5)
	t.Run("passing trouble", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		p := s.behind(s3proxy.Strict()...)
		p.Inject(2, s3proxy.Operations("CreateMultipartUpload"), s3proxy.SlowDown())
		p.Inject(1, s3proxy.Part(1), inject.ResetRequest(partSize/2))
		p.Inject(1, s3proxy.Part(2), s3proxy.SlowDown())
		p.Inject(1, s3proxy.Operations("CompleteMultipartUpload"), s3proxy.ErrorInBody("InternalError"))
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.content("k"), body) {
			t.Error("the object differs")
		}
	})
	t.Run("small object in trouble", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		p := s.behind()
		p.Inject(1, s3proxy.Operations("PutObject"), s3proxy.SlowDown())
		p.Inject(1, s3proxy.Operations("PutObject"), inject.ResetRequest(10))
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body[:1000])}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.content("k"), body[:1000]) {
			t.Error("the object differs")
		}
	})

	t.Run("the answer to the completion is lost", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		p := s.behind()
		p.Inject(1, s3proxy.Operations("CompleteMultipartUpload"), inject.LoseAnswer())
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.content("k"), body) || p.Count("CompleteMultipartUpload") != 2 || p.Count("HeadObject") != 1 {
			t.Errorf("%d completions, %d looks for the object", p.Count("CompleteMultipartUpload"), p.Count("HeadObject"))
		}
	})
	t.Run("the upload is gone", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, overHTTP)
		old := slices.Concat(body[1:], body[:1]) // as large
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(old)}); err != nil {
			t.Fatal(err)
		}
		p := s.behind()
		p.Inject(1, s3proxy.Operations("CompleteMultipartUpload"), s3proxy.Answer(404, "NoSuchUpload", "The specified multipart upload does not exist."))
		_, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)})
		if err == nil || !strings.Contains(err.Error(), "NoSuchUpload") || !bytes.Equal(s.content("k"), old) {
			t.Errorf("error: %v", err)
		}
	})
}

// is returns a condition that holds for the errors with a code.
func is(code fault.Code) func(error) bool {
	return func(err error) bool { return errors.Is(err, code) }
}

func TestPutFaults(t *testing.T) {
	body := random(3*partSize + 5)
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	for name, c := range map[string]struct {
		when  s3proxy.Match
		fault inject.Fault
		want  func(error) bool
	}{
		"part refused": {s3proxy.Part(2), s3proxy.Answer(403, "AccessDenied", "Access Denied."), is(s3.CodeAccessDenied)},
		"complete fails in the body": {
			s3proxy.Operations("CompleteMultipartUpload"), s3proxy.ErrorInBody("InternalError"), is(endpoint.CodeBusy),
		},
		"throttled for good": {s3proxy.Operations("UploadPart"), s3proxy.SlowDown(), is(endpoint.CodeBusy)},
		"token expires":      {s3proxy.Part(3), s3proxy.ExpiredToken(), is(awsaccess.CodeExpiredToken)},
		"disk full":          {s3proxy.Part(3), s3proxy.Answer(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."), is(s3.CodeStorageFull)},
		"resets for good":    {s3proxy.Part(2), inject.ResetRequest(100), is(endpoint.CodeUnreachable)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, overHTTP)
			p := s.behind()
			p.Inject(inject.Always, c.when, c.fault)
			_, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)})
			if !c.want(err) || !strings.HasPrefix(err.Error(), "error putting object k: ") {
				t.Errorf("error: %v", err)
			}
			s.nothingLeft("k")
			if p.Count("AbortMultipartUpload") == 0 {
				t.Error("the upload was not aborted")
			}
		})
	}
	t.Run("source fails in part 3", func(t *testing.T) {
		s := newScene(t, overHTTP)
		broken := errors.New("the source broke")
		r := io.MultiReader(bytes.NewReader(body[:2*partSize+7]), iotest.ErrReader(broken))
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: r}); !errors.Is(err, broken) || errors.Is(err, endpoint.CodeUnreachable) {
			t.Errorf("error: %v", err)
		}
		s.nothingLeft("k")
	})
	t.Run("context ends during a stall", func(t *testing.T) {
		s := newScene(t, overHTTP)
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Part(2), inject.Stall())
		ctx, cancel := context.WithCancel(t.Context())
		store := s.store()
		failed := make(chan error)
		go func() {
			_, err := store.PutObject(ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)})
			failed <- err
		}()
		for p.Count("UploadPart") < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
		s.nothingLeft("k")
	})
	t.Run("old object stays", func(t *testing.T) {
		s := newScene(t, overHTTP)
		s.add("k", []byte("old"))
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Part(2), s3proxy.Answer(403, "AccessDenied", "Access Denied."))
		if _, err := s.store().PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: bytes.NewReader(body)}); err == nil {
			t.Error("no error")
		}
		if string(s.content("k")) != "old" {
			t.Error("the old object changed")
		}
	})
}

// Servers that refuse what is sent by default.
func TestIntegrityFallbacks(t *testing.T) {
	body := random(2*partSize + 1)
	put := func(t *testing.T, s *scene, store *s3.Store, keys ...string) error {
		for _, key := range keys {
			size := 1000
			if strings.HasPrefix(key, "large") {
				size = len(body)
			}
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(body[:size])}); err != nil {
				return err
			}
			if !bytes.Equal(s.content(key), body[:size]) {
				t.Errorf("%s differs", key)
			}
		}
		return nil
	}
	t.Run("checksums refused", func(t *testing.T) {
		s := newScene(t, overTLS)
		p := s.behind(append(s3proxy.Strict(), s3proxy.ChecksumsRefused)...)
		store := s.store()
		if err := put(t, s, store, "small", "large", "again"); err != nil {
			t.Fatal(err)
		}
		if got := p.Count("PutObject"); got != 3 {
			t.Errorf("%d requests for 2 small objects, want one repeated", got)
		}
		if !strings.Contains(s.log.String(), "checksumAlgorithm") || strings.Count(s.log.String(), "WARN") != 1 {
			t.Errorf("log: %s", s.log)
		}
		for _, r := range p.Requests()[1:] {
			if r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" && r.ContentLength > 0 {
				t.Errorf("%s: the payload is neither signed nor summed", r.Operation())
			}
		}
		// The knowledge outlives a new configuration.
		before := p.Count("PutObject")
		if _, err := store.Init(t.Context(), sdk.InitInput{Config: s.with("multipartConcurrency", "2")}); err != nil {
			t.Fatal(err)
		}
		if err := put(t, s, store, "small2"); err != nil || p.Count("PutObject") != before+1 {
			t.Errorf("after Init: %v, %d requests", err, p.Count("PutObject")-before)
		}
	})
	t.Run("checksums refused in parts first", func(t *testing.T) {
		s := newScene(t, overTLS)
		s.behind(s3proxy.ChecksumsRefused)
		if err := put(t, s, s.store(), "large"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("checksums ignored", func(t *testing.T) {
		s := newScene(t, overTLS)
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Operations("PutObject", "UploadPart", "CreateMultipartUpload"), s3proxy.HideChecksums())
		if err := put(t, s, s.store(), "small", "large", "small2"); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Requests() {
			if r.Header.Get("X-Amz-Content-Sha256") == "UNSIGNED-PAYLOAD" && r.ContentLength > 0 {
				t.Errorf("%s: the payload is not signed, and the server ignores its checksum", r.Operation())
			}
		}
	})
	t.Run("checksums known from the start of an upload", func(t *testing.T) {
		s := newScene(t, overTLS)
		p := s.behind()
		if err := put(t, s, s.store(), "large"); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Requests() {
			if r.Operation() == "UploadPart" && r.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" {
				t.Errorf("part %s is signed, which costs time", r.Query.Get("partNumber"))
			}
		}
	})
	t.Run("explicit algorithm stays", func(t *testing.T) {
		s := newScene(t, overTLS)
		s.behind(s3proxy.ChecksumsRefused)
		err := put(t, s, s.store("checksumAlgorithm", "CRC32"), "small")
		if err == nil || !strings.Contains(err.Error(), "InvalidArgument") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("Content-MD5 required", func(t *testing.T) {
		s := newScene(t, overTLS)
		p := s.behind(s3proxy.ContentMD5Required)
		if err := put(t, s, s.store(), "small", "large", "small2"); err != nil {
			t.Fatal(err)
		}
		if got := p.Count("PutObject"); got != 3 {
			t.Errorf("%d requests for 2 small objects", got)
		}
	})
	t.Run("Content-MD5 required and checksums refused", func(t *testing.T) {
		s := newScene(t, overTLS)
		s.behind(s3proxy.ContentMD5Required, s3proxy.ChecksumsRefused)
		if err := put(t, s, s.store(), "small", "large"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("object lock", func(t *testing.T) {
		s := newScene(t, overTLS)
		bucket := s.bucket + "-lock"
		if err := s.client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
			t.Fatal(err)
		}
		s.bucket = bucket
		for _, algorithm := range []string{"-", ""} {
			if err := put(t, s, s.store("bucket", bucket, "checksumAlgorithm", algorithm), "small", "large"); err != nil {
				t.Errorf("checksumAlgorithm %q: %v", algorithm, err)
			}
		}
	})
	t.Run("other errors are not repeated", func(t *testing.T) {
		s := newScene(t, overTLS)
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Operations("PutObject"), s3proxy.Answer(403, "AccessDenied", "Access Denied."))
		if err := put(t, s, s.store(), "small"); !errors.Is(err, s3.CodeAccessDenied) || p.Count("PutObject") != 1 {
			t.Errorf("%v after %d requests", err, p.Count("PutObject"))
		}
	})
}

func TestEncryption(t *testing.T) {
	body := random(2*partSize + 1)
	roundTrip := func(t *testing.T, s *scene, store *s3.Store, with encrypt.ServerSide) minio.ObjectInfo {
		t.Helper()
		for key, body := range map[string][]byte{"small": body[:1000], "large": body} {
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(body)}); err != nil {
				t.Fatal(err)
			}
			got, err := read(t, store, s.bucket, key)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
			if found, err := store.ObjectExists(t.Context(), sdk.ObjectExistsInput{Bucket: s.bucket, Key: key}); !found.Exists || err != nil {
				t.Errorf("%s exists: %v, %v", key, found.Exists, err)
			}
			if !bytes.Equal(s.decrypted(key, with), body) {
				t.Errorf("%s: the independent client reads something else", key)
			}
		}
		info, err := s.client.StatObject(t.Context(), s.bucket, "large", minio.StatObjectOptions{ServerSideEncryption: with})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	t.Run("KMS", func(t *testing.T) {
		s := newScene(t, overTLS)
		s.behind(s3proxy.Strict()...)
		info := roundTrip(t, s, s.store("kmsKeyId", s.minio.KMSKeyID), nil)
		if info.Metadata.Get("X-Amz-Server-Side-Encryption") != "aws:kms" {
			t.Errorf("stored with %v", info.Metadata)
		}
	})
	t.Run("AES256", func(t *testing.T) {
		s := newScene(t, overTLS)
		info := roundTrip(t, s, s.store("serverSideEncryption", "AES256"), nil)
		if info.Metadata.Get("X-Amz-Server-Side-Encryption") != "AES256" {
			t.Errorf("stored with %v", info.Metadata)
		}
	})
	for _, algorithm := range []string{"-", "", "SHA256"} {
		t.Run("customer key, checksum "+algorithm, func(t *testing.T) {
			s := newScene(t, overTLS)
			s.behind(s3proxy.Strict()...)
			raw := random(40)
			key, err := encrypt.NewSSEC(raw[:32])
			if err != nil {
				t.Fatal(err)
			}
			store := s.store("customerKeyEncryptionFile", file(t, "key", string(raw)), "checksumAlgorithm", algorithm)
			roundTrip(t, s, store, key)
			if !strings.Contains(s.log.String(), "first 32 bytes") {
				t.Errorf("no warning about a key of 40 bytes: %s", s.log)
			}

			// The next configuration has no key, and says so with each object.
			if _, err := store.Init(t.Context(), sdk.InitInput{Config: s.config}); err != nil {
				t.Fatal(err)
			}
			if _, err := read(t, store, s.bucket, "small"); err == nil {
				t.Error("the object can be read without its key")
			}
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "plain", Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
			if string(s.content("plain")) != "x" {
				t.Error("an object after the second Init is encrypted")
			}
		})
	}
	t.Run("wrong KMS key", func(t *testing.T) {
		s := newScene(t, overTLS)
		_, err := s.store("kmsKeyId", "absent").PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("x")})
		if !errors.Is(err, s3.CodeKMS) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("refused without TLS", func(t *testing.T) {
		s := newScene(t, overHTTP)
		for _, change := range [][]string{{"serverSideEncryption", "AES256"}, {"kmsKeyId", "k"}, {"customerKeyEncryptionFile", file(t, "key", strings.Repeat("k", 32))}} {
			_, err := s.store(change...).PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("x")})
			if !errors.Is(err, s3.CodeEncryption) && !errors.Is(err, s3.CodeKMS) {
				t.Errorf("%v: %v", change, err)
			}
		}
	})
}

func TestTaggingStorageClassACL(t *testing.T) {
	s := newScene(t, overTLS)
	p := s.behind(s3proxy.Strict()...)
	store := s.store("tagging", "team=backup&cost centre=42", "storageClass", "REDUCED_REDUNDANCY", "acl", "private")
	for key, size := range map[string]int{"small": 10, "large": 2*partSize + 1} {
		if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(random(size))}); err != nil {
			t.Fatal(err)
		}
		tags, err := s.client.GetObjectTagging(t.Context(), s.bucket, key, minio.GetObjectTaggingOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if m := tags.ToMap(); len(m) != 2 || m["team"] != "backup" || m["cost centre"] != "42" {
			t.Errorf("%s: tags %v", key, m)
		}
		info, err := s.client.StatObject(t.Context(), s.bucket, key, minio.StatObjectOptions{})
		if err != nil || info.Metadata.Get("X-Amz-Storage-Class") != "REDUCED_REDUNDANCY" {
			t.Errorf("%s: %v, %v", key, info.Metadata, err)
		}
	}
	for _, r := range p.Requests() {
		if op := r.Operation(); (op == "PutObject" || op == "CreateMultipartUpload") && r.Header.Get("X-Amz-Acl") != "private" {
			t.Errorf("%s lacks the ACL", op)
		}
	}
}

func TestList(t *testing.T) {
	s := newScene(t, overHTTP)
	var keys []string
	for i := range 2500 {
		keys = append(keys, fmt.Sprintf("p/backups/b%04d/velero-backup.json", i))
	}
	keys = append(keys, "p/backups/file", "p/restores/r/x", "p/backups/ü +&/x", "q/other")
	slices.Sort(keys)
	s.fill(keys)

	check := func(t *testing.T, store *s3.Store) {
		t.Helper()
		listed, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "p/"})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(keys[:len(keys)-1])
		slices.Reverse(want)
		if !slices.Equal(listed.Keys, want) {
			t.Errorf("%d keys, want %d in descending order", len(listed.Keys), len(want))
		}
		folders, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: s.bucket, Prefix: "p/backups/", Delimiter: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if len(folders.Prefixes) != 2501 || folders.Prefixes[0] != "p/backups/b0000/" || folders.Prefixes[2500] != "p/backups/ü +&/" {
			t.Errorf("%d prefixes, from %q", len(folders.Prefixes), folders.Prefixes[0])
		}
		folders, err = store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: s.bucket, Delimiter: "/"})
		if err != nil || !slices.Equal(folders.Prefixes, []string{"p/", "q/"}) {
			t.Errorf("top level: %v, %v", folders.Prefixes, err)
		}
		var streamed []string
		for o, err := range store.List(t.Context(), s.bucket, "p/") {
			if err != nil || o.Size != 1 || time.Since(o.Modified) > time.Hour {
				t.Fatalf("streamed %+v, %v", o, err)
			}
			streamed = append(streamed, o.Key)
		}
		slices.Sort(streamed)
		slices.Reverse(streamed)
		if !slices.Equal(slices.Compact(streamed), want) {
			t.Errorf("%d keys are streamed, want %d", len(streamed), len(want))
		}
		listed, err = store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "absent/"})
		if err != nil || len(listed.Keys) != 0 {
			t.Errorf("no match: %v, %v", listed.Keys, err)
		}
		folders, err = store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: s.bucket, Prefix: "absent/", Delimiter: "/"})
		if err != nil || len(folders.Prefixes) != 0 {
			t.Errorf("no match: %v, %v", folders.Prefixes, err)
		}
		if _, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "no-such-bucket-here"}); !errors.Is(err, s3.CodeNoSuchBucket) {
			t.Errorf("absent bucket: %v", err)
		}
	}
	t.Run("V2", func(t *testing.T) {
		p := s.behind(s3proxy.Strict()...)
		check(t, s.store())
		if p.Count("ListObjects") != 0 {
			t.Error("ListObjects was used")
		}
	})
	t.Run("V1 body for a V2 call", func(t *testing.T) {
		p := s.behind()
		p.Inject(inject.Always, s3proxy.Operations("ListObjectsV2"), s3proxy.V1Body())
		check(t, s.store())
		if p.Count("ListObjects") < 6 {
			t.Errorf("%d ListObjects calls", p.Count("ListObjects"))
		}
	})
	t.Run("no progress", func(t *testing.T) {
		p := s.behind()
		page := func(w http.ResponseWriter) {
			fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>`)
		}
		p.Inject(inject.Always, s3proxy.Operations("ListObjectsV2", "ListObjects"), func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { page(w) })
		if listed, err := s.store().ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: s.bucket}); err == nil {
			t.Errorf("%d keys from a server that repeats itself", len(listed.Keys))
		}
		var last error
		for _, last = range s.store().List(t.Context(), s.bucket, "") {
		}
		if last == nil {
			t.Error("a stream from a server that repeats itself has an end")
		}
	})
}

// fill adds small objects in parallel.
func (s *scene) fill(keys []string) {
	s.t.Helper()
	objects := make(chan minio.SnowballObject, len(keys))
	for _, key := range keys {
		objects <- minio.SnowballObject{Key: key, Size: 1, Content: strings.NewReader("x"), ModTime: time.Now()}
	}
	close(objects)
	if err := s.client.PutObjectsSnowball(s.t.Context(), s.bucket, minio.SnowballOptions{InMemory: true}, objects); err != nil {
		s.t.Fatal(err)
	}
}

func TestSignedURL(t *testing.T) {
	t.Run("publicUrl", func(t *testing.T) {
		s := newScene(t, overHTTP)
		body := random(1000)
		s.add("backups/b/a b+ü.tar.gz", body)
		inner := s.endpoint
		p := s.behind(s3proxy.Strict()...)
		store := s.store("s3Url", inner, "publicUrl", p.URL)
		signed, err := store.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: s.bucket, Key: "backups/b/a b+ü.tar.gz", TTL: 10 * time.Minute})
		if err != nil || !strings.HasPrefix(signed.URL, p.URL+"/"+s.bucket+"/") || !strings.Contains(signed.URL, "X-Amz-Expires=600") {
			t.Fatalf("%s, %v", signed.URL, err)
		}
		for _, unwanted := range []string{"x-id", "checksum"} {
			if strings.Contains(strings.ToLower(signed.URL), unwanted) {
				t.Errorf("%s in %s", unwanted, signed.URL)
			}
		}
		status, got := fetch(t, http.DefaultTransport, signed.URL, nil)
		if status != 200 || !bytes.Equal(got, body) {
			t.Errorf("status %d, %d bytes", status, len(got))
		}
		if status, _ := fetch(t, http.DefaultTransport, strings.Replace(signed.URL, "Expires=600", "Expires=601", 1), nil); status != 403 {
			t.Errorf("a changed URL gives %d", status)
		}
	})
	t.Run("it ends", func(t *testing.T) {
		s := newScene(t, overHTTP)
		s.add("k", []byte("x"))
		signed, err := s.store().CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: s.bucket, Key: "k", TTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // S3 counts in whole seconds
		if status, _ := fetch(t, http.DefaultTransport, signed.URL, nil); status != 403 {
			t.Errorf("status %d after the URL's end", status)
		}
		short, err := s.store().CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: s.bucket, Key: "k", TTL: 300 * time.Millisecond})
		if err != nil || !strings.Contains(short.URL, "X-Amz-Expires=1&") {
			t.Errorf("for less than a second: %s, %v", short.URL, err)
		}
		for _, ttl := range []time.Duration{0, -1, 8 * 24 * time.Hour} {
			if _, err := s.store().CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: s.bucket, Key: "k", TTL: ttl}); err == nil {
				t.Errorf("a URL for %v", ttl)
			}
		}
	})
	t.Run("customer key", func(t *testing.T) {
		s := newScene(t, overTLS)
		raw := strings.Repeat("k", 32)
		store := s.store("customerKeyEncryptionFile", file(t, "key", raw))
		if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: "k", Body: strings.NewReader("secret")}); err != nil {
			t.Fatal(err)
		}
		signed, err := store.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: s.bucket, Key: "k", TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(signed.URL, "a2tra2tra2") {
			t.Error("the URL holds the key")
		}
		key, _ := encrypt.NewSSEC([]byte(raw))
		headers := http.Header{}
		key.Marshal(headers)
		if status, got := fetch(t, s.minio.Transport(), signed.URL, headers); status != 200 || string(got) != "secret" {
			t.Errorf("with the headers: status %d, %q", status, got)
		}
		if status, _ := fetch(t, s.minio.Transport(), signed.URL, nil); status == 200 {
			t.Error("the URL works without the key")
		}
	})
}

func fetch(t *testing.T, transport http.RoundTripper, url string, header http.Header) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// Calls go on while the configuration changes, each with one of the two.
func TestInitUnderTraffic(t *testing.T) {
	s := newScene(t, overTLS)
	key := strings.Repeat("k", 32)
	configs := []map[string]string{s.with(), s.with("customerKeyEncryptionFile", file(t, "key", key), "multipartPartSizeMiB", "6")}
	store := s.store()
	body := random(2*partSize + 1)
	var work sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		work.Go(func() {
			for i := range 4 {
				name := fmt.Sprintf("%d-%d", n, i)
				if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: s.bucket, Key: name, Body: bytes.NewReader(body[:len(body)/(i+1)])}); err != nil {
					t.Errorf("put: %v", err)
				}
				if _, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: s.bucket, Prefix: "0-"}); err != nil {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	var inits sync.WaitGroup
	inits.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := store.Init(t.Context(), sdk.InitInput{Config: configs[i%2]}); err != nil {
				t.Errorf("Init: %v", err)
			}
		}
	})
	work.Wait()
	close(stop)
	inits.Wait()

	encrypted, err := encrypt.NewSSEC([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		for i := range 4 {
			name := fmt.Sprintf("%d-%d", n, i)
			var with encrypt.ServerSide
			if _, err := s.client.StatObject(t.Context(), s.bucket, name, minio.StatObjectOptions{}); err != nil {
				with = encrypted
			}
			if !bytes.Equal(s.decrypted(name, with), body[:len(body)/(i+1)]) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// The checks above would find what a failed upload leaves behind.
func TestLeftoversAreFound(t *testing.T) {
	s := newScene(t, overHTTP)
	core := minio.Core{Client: s.client}
	if _, err := core.NewMultipartUpload(t.Context(), s.bucket, "k", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range s.client.ListIncompleteUploads(t.Context(), s.bucket, "k", true) {
		n++
	}
	if n != 1 {
		t.Errorf("%d uploads found, want 1", n)
	}
}
