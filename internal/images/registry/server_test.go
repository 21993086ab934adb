package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	fake "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// server is a registry in memory, behind rules that tests set.
type server struct {
	*httptest.Server
	host     string
	registry http.Handler

	mu       sync.Mutex
	rule     func(w http.ResponseWriter, r *http.Request) bool
	requests []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{registry: fake.New(fake.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

// answer lets a rule answer requests; it returns false for what it leaves to the
// registry.
func (s *server) answer(rule func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule, s.requests = rule, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	rule := s.rule
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if rule == nil || !rule(w, r) {
		s.registry.ServeHTTP(w, r)
	}
}

// count returns how many requests of a method had a path with that part.
func (s *server) count(method, part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, request := range s.requests {
		if strings.HasPrefix(request, method+" ") && strings.Contains(request, part) {
			n++
		}
	}
	return n
}

// pauses are those that a client would have made.
type pauses struct {
	mu   sync.Mutex
	list []time.Duration
}

func (p *pauses) pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, d)
	return context.Cause(ctx)
}

func (p *pauses) all() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// newClient returns a client that does not pause.
func newClient(t *testing.T, config Config) (*Client, *pauses) {
	t.Helper()
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p := &pauses{}
	c.pause = p.pause
	return c, p
}

// content is a blob of random bytes.
type content struct {
	images.Descriptor
	data []byte
}

func newContent(size int) content {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	return content{images.Descriptor{Digest: digest.FromBytes(data), Size: int64(size)}, data}
}

func (c content) open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(c.data)), nil
}

// unread fails a test that reads a blob.
func unread(t *testing.T) images.Open {
	return func(context.Context) (io.ReadCloser, error) {
		t.Error("the blob is read")
		return nil, errors.New("unexpected")
	}
}

func put(t *testing.T, c *Client, repository string, b content) {
	t.Helper()
	if n, err := c.PutBlob(t.Context(), repository, b.Descriptor, b.open); err != nil || n != b.Size {
		t.Fatalf("%d bytes read, %v", n, err)
	}
}

func read(t *testing.T, c *Client, repository string, b content) error {
	t.Helper()
	r, err := c.Blob(t.Context(), repository, b.Descriptor)
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(data, b.data) {
		t.Errorf("%d bytes of other content", len(data))
	}
	return err
}

// fail answers with an error document.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"errors":[{"code":"`+code+`","message":"a message"}]}`)
}
