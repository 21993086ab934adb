// Package buckettest is the suite that every store of package objectstore passes,
// against a real server:
//
//	func TestBucket(t *testing.T) { buckettest.Run(t, newHarness) }
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
)

// Harness is an empty bucket with a server behind it.
type Harness interface {
	// Bucket is the bucket through the store under test.
	Bucket() objectstore.Bucket
	// Lost is a bucket that does not exist, on the same server.
	Lost() objectstore.Bucket
	// Independent reads and writes the same bucket by other means than the store,
	// such as a client of the server's makers.
	Independent() Independent
	// PartSize is the size of the parts of an upload in bytes.
	PartSize() int
}

// Independent reads and writes a bucket by other means than the store under test.
type Independent interface {
	// Read returns the content of an object; fs.ErrNotExist if there is none.
	Read(ctx context.Context, key string) ([]byte, error)
	// Write stores objects.
	Write(ctx context.Context, objects map[string][]byte) error
	// Leftovers names what uploads of an object have left behind: the parts of an
	// upload that was neither completed nor aborted.
	Leftovers(ctx context.Context, key string) ([]string, error)
}

// Run runs the suite. Each test has a harness of its own.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"put, stat and get", testPutAndGet},
		{"keys are taken literally", testKeys},
		{"overwrite and delete", testOverwriteAndDelete},
		{"absent", testAbsent},
		{"absent bucket", testLostBucket},
		{"list", testList},
		{"an object replaced while it is read", testReplaced},
		{"close in the middle", testClose},
		{"a body that fails", testBodyFails},
		{"a context that ends", testContextEnds},
		{"many at a time", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newHarness(t)) })
	}
}

// folder begins all keys, as images do.
const folder = "docker/registry/v2/"

func testPutAndGet(t *testing.T, h Harness) {
	b, ctx, part := h.Bucket(), t.Context(), h.PartSize()
	start := time.Now().Add(-time.Minute)
	for _, size := range []int{0, 1, 71, part - 1, part, part + 1, 3*part + 5} {
		key, body := fmt.Sprint(folder, size), random(size)
		for _, again := range []io.Reader{bytes.NewReader(body), stream(body)} {
			if err := b.Put(ctx, key, again); err != nil {
				t.Fatalf("put of %d bytes: %v", size, err)
			}
			if got, err := read(ctx, b, key); err != nil || !bytes.Equal(got, body) {
				t.Errorf("get of %d bytes: %d, %v", size, len(got), err)
			}
		}
		if got, err := h.Independent().Read(ctx, key); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: an independent client reads %d, %v", size, len(got), err)
		}
		o, err := b.Stat(ctx, key)
		if err != nil || o.Key != key || o.Size != int64(size) || o.Modified.Before(start) || time.Until(o.Modified) > time.Minute {
			t.Errorf("stat of %d bytes: %+v, %v", size, o, err)
		}
	}
	// What others wrote is read in the same way.
	large := random(6*part + 1)
	if err := h.Independent().Write(ctx, map[string][]byte{"large": large, "empty": nil}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]byte{"large": large, "empty": nil} {
		if got, err := read(ctx, b, key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
}

func testKeys(t *testing.T, h Harness) {
	b, ctx := h.Bucket(), t.Context()
	keys := []string{"a b/c+d", "ünïcödé/日本", "q?x=1&y=%20#f", "100%", "a;b,c:d@e!", "(x)[y]{z}'~*", "dots../..b", "k"}
	for _, key := range keys {
		key = folder + key
		if err := b.Put(ctx, key, strings.NewReader(key)); err != nil {
			t.Errorf("put %s: %v", key, err)
			continue
		}
		if got, err := read(ctx, b, key); err != nil || string(got) != key {
			t.Errorf("get %s: %q, %v", key, got, err)
		}
		if got, err := h.Independent().Read(ctx, key); err != nil || string(got) != key {
			t.Errorf("%s was written under another key: %v", key, err)
		}
		if listed := names(t, b, key); !slices.Contains(listed, key) {
			t.Errorf("%s is not listed: %q", key, listed)
		}
	}
	if listed := names(t, b, folder); len(listed) != len(keys) {
		t.Errorf("%d keys are listed as %q", len(keys), listed)
	}
}

func testOverwriteAndDelete(t *testing.T, h Harness) {
	b, ctx, part := h.Bucket(), t.Context(), h.PartSize()
	key := folder + "k"
	for _, body := range [][]byte{random(part + 1), []byte("small"), random(2 * part), nil} {
		if err := b.Put(ctx, key, stream(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := read(ctx, b, key); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %d, %v", len(body), len(got), err)
		}
	}
	if err := b.Put(ctx, key+"2", strings.NewReader("stays")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Stat(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its deletion: %v", err)
	}
	if listed := names(t, b, folder); !slices.Equal(listed, []string{key + "2"}) {
		t.Errorf("after a deletion there are %q", listed)
	}
}

func testAbsent(t *testing.T, h Harness) {
	b, ctx := h.Bucket(), t.Context()
	key := folder + "absent"
	_, statErr := b.Stat(ctx, key)
	_, getErr := read(ctx, b, key)
	for what, err := range map[string]error{"stat": statErr, "get": getErr} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), key) || !answer.SaysAbsent(err.Error()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := b.Delete(ctx, key); err != nil {
		t.Errorf("delete: %v", err)
	}
	if listed := names(t, b, folder); len(listed) != 0 {
		t.Errorf("an empty bucket lists %q", listed)
	}
}

// A bucket that does not exist is an error of each method, and none that sounds
// as if an object were absent: Velero deletes its record of those.
func testLostBucket(t *testing.T, h Harness) {
	b, ctx := h.Lost(), t.Context()
	_, getErr := read(ctx, b, folder+"k")
	var listErr error
	for _, listErr = range b.List(ctx, folder) {
	}
	for what, err := range map[string]error{
		"put":          b.Put(ctx, folder+"k", strings.NewReader("x")),
		"put in parts": b.Put(ctx, folder+"k", stream(random(2*h.PartSize()+1))),
		"get":          getErr,
		"list":         listErr,
		"delete":       b.Delete(ctx, folder+"k"),
	} {
		if err == nil || answer.SaysAbsent(err.Error()) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v", what, err)
		} else if !strings.Contains(err.Error(), "fix: ") {
			t.Errorf("%s: no fix in %v", what, err)
		}
	}
}

func testList(t *testing.T, h Harness) {
	b, ctx := h.Bucket(), t.Context()
	const n = 2100 // more than two pages of any server
	objects, want := map[string][]byte{"other": []byte("x"), "docker.txt": []byte("x")}, map[string]int{}
	for i := range n {
		key := fmt.Sprintf("%s%04d", folder, i)
		objects[key], want[key] = bytes.Repeat([]byte("x"), i%7), i%7
	}
	if err := h.Independent().Write(ctx, objects); err != nil {
		t.Fatal(err)
	}
	for o, err := range b.List(ctx, "docker/") {
		if err != nil {
			t.Fatal(err)
		}
		if size, ok := want[o.Key]; ok && o.Size != int64(size) || o.Modified.IsZero() {
			t.Errorf("listed %+v", o)
		}
		if _, ok := objects[o.Key]; !ok || !strings.HasPrefix(o.Key, "docker/") {
			t.Errorf("listed %s", o.Key)
		}
		delete(want, o.Key)
	}
	if len(want) > 0 {
		t.Errorf("%d objects are not listed, %s among them", len(want), slices.Min(slices.Collect(maps.Keys(want))))
	}
	if all := names(t, b, ""); len(all) != n+2 {
		t.Errorf("%d of %d objects are listed with an empty prefix", len(all), n+2)
	}
	i := 0
	for range b.List(ctx, "docker/") {
		if i++; i == 3 {
			break
		}
	}
}

// A reader delivers one object, or fails: never the begin of one and the end of
// another.
func testReplaced(t *testing.T, h Harness) {
	b, ctx, part := h.Bucket(), t.Context(), h.PartSize()
	first, second := random(8*part+1), random(8*part+2)
	if err := b.Put(ctx, "k", bytes.NewReader(first)); err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := h.Independent().Write(ctx, map[string][]byte{"k": second}); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if !bytes.HasPrefix(first, got) || err == nil && len(got) != len(first) {
		t.Errorf("%d bytes of a mixture, %v", len(got), err)
	}
}

func testClose(t *testing.T, h Harness) {
	b, ctx := h.Bucket(), t.Context()
	if err := b.Put(ctx, "k", bytes.NewReader(random(4*h.PartSize()))); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, h.PartSize()} {
		r, err := b.Get(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close after %d bytes: %v", n, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("read after close: %d bytes, %v", n, err)
		}
	}
}

func testBodyFails(t *testing.T, h Harness) {
	b, ctx, part := h.Bucket(), t.Context(), h.PartSize()
	broken := errors.New("the source broke")
	if err := b.Put(ctx, "old", strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"at once": 0, "in the first part": 100, "at the end of a part": part, "in the third part": 2*part + 7} {
		t.Run(name, func(t *testing.T) {
			for _, key := range []string{"new", "old"} {
				err := b.Put(t.Context(), key, io.MultiReader(stream(random(size)), iotest.ErrReader(broken)))
				if !errors.Is(err, broken) || !strings.Contains(err.Error(), key) {
					t.Errorf("error: %v", err)
				}
				nothingLeft(t, h, key)
			}
			if _, err := h.Independent().Read(t.Context(), "new"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a part of an object is visible: %v", err)
			}
			if got, err := h.Independent().Read(t.Context(), "old"); err != nil || string(got) != "old" {
				t.Errorf("the old object is %d bytes, %v", len(got), err)
			}
		})
	}
}

func testContextEnds(t *testing.T, h Harness) {
	b := h.Bucket()
	ctx, cancel := context.WithCancel(t.Context())
	endless := &cancelling{after: 3 * h.PartSize(), cancel: cancel}
	if err := b.Put(ctx, "k", endless); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	nothingLeft(t, h, "k")
	if _, err := h.Independent().Read(t.Context(), "k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part of an object is visible: %v", err)
	}
	_, statErr := b.Stat(ctx, "k")
	_, getErr := read(ctx, b, "k")
	for what, err := range map[string]error{"stat": statErr, "get": getErr, "delete": b.Delete(ctx, "k")} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// cancelling is an endless body that ends the context of its upload.
type cancelling struct {
	after  int // bytes
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.after -= len(p); c.after < 0 {
		c.cancel()
	}
	return len(p), nil
}

func testConcurrent(t *testing.T, h Harness) {
	b, ctx, part := h.Bucket(), t.Context(), h.PartSize()
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			key, body := fmt.Sprint(folder, n), random(part*(n%3)+n)
			for range 2 {
				if err := b.Put(ctx, key, stream(body)); err != nil {
					t.Errorf("put %d: %v", n, err)
				}
				if got, err := read(ctx, b, key); err != nil || !bytes.Equal(got, body) {
					t.Errorf("get %d: %d of %d bytes, %v", n, len(got), len(body), err)
				}
				for _, err := range b.List(ctx, folder) {
					if err != nil {
						t.Errorf("list %d: %v", n, err)
					}
				}
			}
		})
	}
	work.Wait()
}

func nothingLeft(t *testing.T, h Harness, key string) {
	t.Helper()
	left, err := h.Independent().Leftovers(context.WithoutCancel(t.Context()), key)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// names lists keys once each, in order.
func names(t *testing.T, b objectstore.Bucket, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Errorf("list %s: %v", prefix, err)
			break
		}
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func read(ctx context.Context, b objectstore.Bucket, key string) ([]byte, error) {
	r, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

// stream hides what else a reader can do.
func stream(data []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }
