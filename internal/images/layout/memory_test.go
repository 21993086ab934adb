package layout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// memory is a bucket for tests that take thousands of requests or that decide
// what happens between two of them. It takes keys literally. Times are of full
// seconds, as those of S3 are.
type memory struct {
	// before is called ahead of each request and of each page of a list, whose
	// second and further ones are "List on"; its
	// error is that of the request.
	before func(ctx context.Context, r request) error
	page   int // length of a list's pages
	clock  func() time.Time

	mu       sync.Mutex
	objects  map[string]stored
	requests []request
}

type request struct{ method, key string }

type stored struct {
	data     []byte
	modified time.Time
}

func newMemory() *memory {
	return &memory{page: 1000, clock: time.Now, objects: map[string]stored{}}
}

func (m *memory) request(ctx context.Context, method, key string) error {
	r := request{method, key}
	if m.before != nil {
		if err := m.before(ctx, r); err != nil {
			return fmt.Errorf("memory: %s: %w", key, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
	return nil
}

// count returns how many requests there were of a method for keys that contain a
// text, and forgets none.
func (m *memory) count(method, text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.requests {
		if r.method == method && strings.Contains(r.key, text) {
			n++
		}
	}
	return n
}

func (m *memory) forgetRequests() []request {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.requests
	m.requests = nil
	return all
}

func (m *memory) Stat(ctx context.Context, key string) (objectstore.Object, error) {
	if err := m.request(ctx, "Stat", key); err != nil {
		return objectstore.Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return objectstore.Object{}, fmt.Errorf("memory: %s: %w", key, fs.ErrNotExist)
	}
	return o.entry(key), nil
}

func (m *memory) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := m.request(ctx, "Get", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("memory: %s: %w", key, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(o.data)), nil
}

func (m *memory) Put(ctx context.Context, key string, body io.Reader) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("memory: %s: %w", key, err)
	}
	if err := m.request(ctx, "Put", key); err != nil {
		return err
	}
	m.set(key, data)
	return nil
}

func (m *memory) set(key string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = stored{data, m.clock().Truncate(time.Second)}
}

func (m *memory) Delete(ctx context.Context, key string) error {
	if err := m.request(ctx, "Delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func (m *memory) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		method := "List"
		for last := ""; ; method = "List on" {
			if err := m.request(ctx, method, prefix); err != nil {
				yield(objectstore.Object{}, err)
				return
			}
			page := m.listed(prefix, last)
			for _, o := range page {
				if !yield(o, nil) {
					return
				}
				last = o.Key
			}
			if len(page) < m.page {
				return
			}
		}
	}
}

// listed returns a page of a list, which begins behind a key.
func (m *memory) listed(prefix, after string) []objectstore.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []objectstore.Object
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(key, prefix) && key > after && len(page) < m.page {
			page = append(page, m.objects[key].entry(key))
		}
	}
	return page
}

func (o stored) entry(key string) objectstore.Object {
	return objectstore.Object{Key: key, Size: int64(len(o.data)), Modified: o.modified}
}

// remove removes an object without a request.
func (m *memory) remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
}

// keys returns those of a prefix without a request.
func (m *memory) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for key := range m.objects {
		if strings.HasPrefix(key, prefix) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}

func (m *memory) content(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.objects[key].data)
}
