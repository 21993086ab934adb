package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// An upload reads nothing but the blob, and leaves nothing in the registry if it
// finds something else.
func TestSourceIsVerified(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	blob := newContent(100 << 10)
	broken := errors.New("the bucket is gone")
	changed := bytes.Clone(blob.data)
	changed[len(changed)-1]++
	damaged := func(err error) bool { return errors.Is(err, CodeDamaged) }
	for name, c := range map[string]struct {
		source io.Reader
		err    func(error) bool
	}{
		"other content": {bytes.NewReader(changed), damaged},
		"too short":     {bytes.NewReader(blob.data[:len(blob.data)-1]), damaged},
		"too long":      {bytes.NewReader(append(bytes.Clone(blob.data), 0)), damaged},
		"empty":         {bytes.NewReader(nil), damaged},
		"fails": {io.MultiReader(bytes.NewReader(blob.data[:1000]), iotest.ErrReader(broken)),
			func(err error) bool { return errors.Is(err, broken) }},
		"fails with a code": {iotest.ErrReader(&fault.Error{Code: CodeFailed, What: "reading"}),
			func(err error) bool { return errors.Is(err, CodeFailed) && strings.Count(err.Error(), "; fix:") == 1 }},
	} {
		for _, size := range []int64{blob.Size, -1} {
			client, paused := newClient(t, Config{Host: s.host})
			described := blob.Descriptor
			described.Size = size
			if name == "too long" && size >= 0 {
				// The last byte that belongs to the blob is the last that is sent.
				continue
			}
			opened := 0
			_, err := client.PutBlob(t.Context(), "ns/a", described, func(context.Context) (io.ReadCloser, error) {
				opened++
				return io.NopCloser(c.source), nil
			})
			if !c.err(err) || !strings.Contains(err.Error(), blob.Digest.String()) {
				t.Errorf("%s, size %d: %v", name, size, err)
			}
			if opened != 1 || len(paused.all()) != 0 {
				t.Errorf("%s, size %d: opened %d times, pauses %v", name, size, opened, paused.all())
			}
			if there, err := client.hasBlob(t.Context(), "ns/a", blob.Digest); there || err != nil {
				t.Errorf("%s, size %d: the registry has it, %v", name, size, err)
			}
			if seeker, ok := c.source.(io.Seeker); ok {
				_, _ = seeker.Seek(0, io.SeekStart)
			}
		}
	}
}

// An upload that breaks off is begun anew, with a source that is opened anew.
func TestUploadIsRepeated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	blob := newContent(2 << 20)
	var uploads atomic.Int32
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		switch uploads.Add(1) {
		case 1:
			_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
			hangUp(w)
		case 2:
			_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
			fail(w, http.StatusInternalServerError, "UNKNOWN")
		case 3:
			fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		default:
			return false
		}
		return true
	})
	c, paused := newClient(t, Config{Host: s.host})
	n, err := c.PutBlob(t.Context(), "ns/a", blob.Descriptor, blob.open)
	if err != nil || n < blob.Size+2*64<<10 {
		t.Errorf("%d bytes read, %v", n, err)
	}
	if uploads.Load() != 4 || len(paused.all()) != 3 {
		t.Errorf("%d uploads, pauses %v", uploads.Load(), paused.all())
	}
	if err := read(t, c, "ns/a", blob); err != nil {
		t.Error(err)
	}
}

// An upload whose answer was lost is not repeated.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	blob := newContent(1000)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		s.registry.ServeHTTP(discarded{http.Header{}}, r)
		hangUp(w)
		return true
	})
	c, paused := newClient(t, Config{Host: s.host})
	put(t, c, "ns/a", blob)
	if s.count("PUT", "") != 1 || len(paused.all()) != 1 {
		t.Errorf("%d uploads, pauses %v", s.count("PUT", ""), paused.all())
	}
}

type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d discarded) WriteHeader(int)             {}

// A blob that many want at once is sent once.
func TestUploadIsShared(t *testing.T) {
	t.Parallel()
	registry := servers.Registry(t)
	c, _ := newClient(t, Config{Host: registry.Host})
	blob := newContent(1 << 20)
	var total atomic.Int64
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			n, err := c.PutBlob(t.Context(), "shared/"+string(rune('a'+i%6)), blob.Descriptor, blob.open)
			if err != nil {
				t.Error(err)
			}
			total.Add(n)
		})
	}
	all.Wait()
	if total.Load() != blob.Size {
		t.Errorf("%d bytes were read for %d", total.Load(), blob.Size)
	}
}

// Those who wait for somebody else's upload go on when that one goes away.
func TestUploadIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, _ := newClient(t, Config{Host: s.host})
	blob := newContent(1000)
	ctx, leave := context.WithCancel(t.Context())
	reading := make(chan struct{})
	failed := make(chan error)
	go func() {
		_, err := c.PutBlob(ctx, "ns/a", blob.Descriptor, func(ctx context.Context) (io.ReadCloser, error) {
			close(reading)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		failed <- err
	}()
	<-reading
	done := make(chan error)
	for _, repository := range []string{"ns/a", "ns/b"} {
		go func() {
			_, err := c.PutBlob(t.Context(), repository, blob.Descriptor, blob.open)
			done <- err
		}()
	}
	leave()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Nothing is read any more when an upload has failed.
func TestUploadIsOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			fail(w, http.StatusForbidden, "DENIED")
			return true
		}
		return false
	})
	c, _ := newClient(t, Config{Host: s.host})
	blob := newContent(1 << 20)
	var reading, closed atomic.Bool
	_, err := c.PutBlob(t.Context(), "ns/a", blob.Descriptor, func(ctx context.Context) (io.ReadCloser, error) {
		return &slow{ctx: ctx, reading: &reading, closed: &closed}, nil
	})
	if !errors.Is(err, CodeForbidden) {
		t.Error(err)
	}
	if reading.Load() || !closed.Load() {
		t.Errorf("reading %v, closed %v", reading.Load(), closed.Load())
	}
}

// slow is a source that delivers some bytes at once and others never.
type slow struct {
	ctx             context.Context
	n               int
	reading, closed *atomic.Bool
}

func (s *slow) Read(p []byte) (int, error) {
	s.reading.Store(true)
	defer s.reading.Store(false)
	if s.n > 100<<10 {
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case <-time.After(time.Minute):
			return 0, errors.New("nobody ended the read")
		}
	}
	s.n += len(p)
	return len(p), nil
}

func (s *slow) Close() error {
	s.closed.Store(true)
	return nil
}

// A registry that is said to have lost a blob is asked for it again.
func TestPrunedBlob(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, _ := newClient(t, Config{Host: s.host})
	blob := newContent(1000)
	put(t, c, "ns/a", blob)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			fail(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return true
		}
		return false
	})
	if err := c.PutManifest(t.Context(), "ns/a", manifestOf(blob)); !errors.Is(err, CodeRefused) {
		t.Error(err)
	}
	s.answer(nil)
	if _, err := c.PutBlob(t.Context(), "ns/a", blob.Descriptor, blob.open); err != nil {
		t.Error(err)
	}
	if s.count("HEAD", "/blobs/") != 1 {
		t.Error("the registry was not asked")
	}
}
