package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// memory is a target that assembles the object and checks the order of calls.
type memory struct {
	t *testing.T

	// beginning, when set, runs at the start of Begin.
	beginning func(context.Context) error
	// failPart and failCommit are errors that the target answers with.
	failPart   func(n int) error
	failCommit error
	// hold, when set, keeps parts in flight until it is closed.
	hold chan struct{}

	mu       sync.Mutex
	begun    bool
	parts    map[int][sha256.Size]byte
	sizes    map[int]int
	flying   int
	peak     int
	visible  bool
	sum      [sha256.Size]byte // of a Put
	putSize  int
	aborted  bool
	abortErr error // of the context that Abort got
}

func newMemory(t *testing.T) *memory {
	return &memory{t: t, parts: map[int][sha256.Size]byte{}, sizes: map[int]int{}}
}

func (m *memory) Put(ctx context.Context, body []byte) error {
	if m.begun {
		m.t.Error("Put after Begin")
	}
	m.visible, m.sum, m.putSize = true, sha256.Sum256(body), len(body)
	return ctx.Err()
}

func (m *memory) Begin(ctx context.Context) error {
	if m.beginning != nil {
		if err := m.beginning(ctx); err != nil {
			return err
		}
	}
	m.begun = true
	return nil
}

func (m *memory) Part(ctx context.Context, n int, body []byte) (int, error) {
	m.mu.Lock()
	m.flying++
	m.peak = max(m.peak, m.flying)
	if _, ok := m.parts[n]; ok || !m.begun {
		m.t.Errorf("part %d: sent twice or before Begin", n)
	}
	m.parts[n], m.sizes[n] = sha256.Sum256(body), len(body)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.flying--
		m.mu.Unlock()
	}()
	if m.hold != nil {
		select {
		case <-m.hold:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if m.failPart != nil {
		if err := m.failPart(n); err != nil {
			return 0, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if sha256.Sum256(body) != m.parts[n] {
		m.t.Errorf("part %d: the buffer changed while the part was in flight", n)
	}
	return n, nil
}

func (m *memory) Commit(_ context.Context, parts []int) error {
	for i, n := range parts {
		if n != i+1 {
			m.t.Errorf("part %d is committed at position %d", n, i+1)
		}
	}
	if len(parts) != len(m.parts) {
		m.t.Errorf("%d of %d parts committed", len(parts), len(m.parts))
	}
	if m.failCommit == nil {
		m.visible = true
	}
	return m.failCommit
}

func (m *memory) Abort(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flying > 0 {
		m.t.Errorf("Abort while %d parts are in flight", m.flying)
	}
	m.aborted, m.abortErr = true, ctx.Err()
	return nil
}

// check compares what the target holds with the body.
func (m *memory) check(body []byte, partSize int) {
	m.t.Helper()
	if !m.visible || m.aborted {
		m.t.Fatalf("visible %v, aborted %v", m.visible, m.aborted)
	}
	if !m.begun {
		if m.sum != sha256.Sum256(body) {
			m.t.Error("the object put differs from the body")
		}
		return
	}
	for n := 1; n <= len(m.parts); n++ {
		want := body[min((n-1)*partSize, len(body)):min(n*partSize, len(body))]
		if len(want) == 0 || m.parts[n] != sha256.Sum256(want) {
			m.t.Fatalf("part %d of %d bytes differs from the body", n, m.sizes[n])
		}
	}
	if want := (len(body) + partSize - 1) / partSize; len(m.parts) != want {
		m.t.Errorf("%d parts, want %d", len(m.parts), want)
	}
}

const testPart = 64 << 10

func testOptions(t *testing.T, concurrency int) UploadOptions {
	p := NewPool(testPart, concurrency+1)
	t.Cleanup(func() { checkIdle(t, p) })
	return UploadOptions{Pool: p, Concurrency: concurrency, MaxParts: 10000, MaxPartSize: 1 << 30}
}

// checkIdle fails when a buffer is lost, and gives the memory back.
func checkIdle(t *testing.T, p *Pool) {
	t.Helper()
	if p.out != 0 {
		t.Errorf("%d buffers are still in use", p.out)
	}
	if len(p.free) > p.limit {
		t.Errorf("%d free buffers with a limit of %d", len(p.free), p.limit)
	}
	p.trim()
	if len(p.free) != 0 {
		t.Errorf("%d buffers left after trim", len(p.free))
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestUploadSizes(t *testing.T) {
	for _, size := range []int{0, 1, testPart - 1, testPart, testPart + 1, 3 * testPart, 7*testPart + 17} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"in memory":    func(r io.Reader) io.Reader { return r },
			"stream":       func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
			"half":         iotest.HalfReader,
			"data and EOF": iotest.DataErrReader,
			"with empty reads": func(r io.Reader) io.Reader {
				return &emptyReads{r: r}
			},
		} {
			t.Run(fmt.Sprintf("%d %s", size, name), func(t *testing.T) {
				body := randomBytes(size)
				m := newMemory(t)
				n, err := Upload(t.Context(), wrap(bytes.NewReader(body)), testOptions(t, 3), m)
				if err != nil || n != int64(size) {
					t.Fatalf("Upload: %d, %v", n, err)
				}
				if m.begun != (size > testPart) {
					t.Errorf("several parts: %v", m.begun)
				}
				m.check(body, testPart)
			})
		}
	}
}

// emptyReads answers every second Read with nothing.
type emptyReads struct {
	r     io.Reader
	empty bool
}

func (e *emptyReads) Read(p []byte) (int, error) {
	e.empty = !e.empty
	if e.empty {
		return 0, nil
	}
	return e.r.Read(p)
}

func TestUploadBoundsPartsInFlight(t *testing.T) {
	body := randomBytes(20 * testPart)
	for _, concurrency := range []int{1, 2, 5} {
		m := newMemory(t)
		m.hold = make(chan struct{})
		opts := testOptions(t, concurrency)
		done := make(chan error)
		go func() {
			_, err := Upload(t.Context(), bytes.NewReader(body), opts, m)
			done <- err
		}()
		// The source is never the bottleneck, so all buffers end up in flight.
		for {
			m.mu.Lock()
			n := m.flying
			m.mu.Unlock()
			if n == concurrency+1 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		close(m.hold)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if m.peak > concurrency+1 {
			t.Errorf("concurrency %d: %d parts in flight", concurrency, m.peak)
		}
		m.check(body, testPart)
	}
}

func TestUploadGrowsParts(t *testing.T) {
	const part = 512
	p := NewPool(part, 4)
	defer checkIdle(t, p)
	opts := UploadOptions{Pool: p, Concurrency: 3, MaxParts: 10000, MaxPartSize: 1 << 30}

	limit := int64(9000*part + 1000*16*part)
	for _, size := range []int64{9000 * part, 9000*part + 1, 9001*part + 5, 10001 * part, limit} {
		m := newMemory(t)
		sum := sha256.New()
		n, err := Upload(t.Context(), io.TeeReader(pattern(size), sum), opts, m)
		if err != nil || n != size {
			t.Fatalf("%d bytes: %d, %v", size, n, err)
		}
		got := sha256.New()
		rest := pattern(size)
		for i := 1; i <= len(m.sizes); i++ {
			want := part
			if i > 9000 {
				want = 16 * part
			}
			if m.sizes[i] != want && i != len(m.sizes) {
				t.Fatalf("%d bytes: part %d has %d bytes, want %d", size, i, m.sizes[i], want)
			}
			piece := make([]byte, m.sizes[i])
			io.ReadFull(io.TeeReader(rest, got), piece)
			if sha256.Sum256(piece) != m.parts[i] {
				t.Fatalf("%d bytes: part %d differs", size, i)
			}
		}
		if !equalSums(got, sum) {
			t.Errorf("%d bytes: the parts do not make up the body", size)
		}
	}

	m := newMemory(t)
	_, err := Upload(t.Context(), pattern(limit+1), opts, m)
	if !errors.Is(err, ErrTooLarge) || m.visible || !m.aborted {
		t.Errorf("one byte too many: %v, visible %v, aborted %v", err, m.visible, m.aborted)
	}
}

func equalSums(a, b hash.Hash) bool { return bytes.Equal(a.Sum(nil), b.Sum(nil)) }

// pattern is a body of size bytes in which no two parts are equal.
func pattern(size int64) io.Reader {
	return io.LimitReader(readerFunc(func() func(p []byte) (int, error) {
		src := rand.NewChaCha8([32]byte{1})
		return func(p []byte) (int, error) { return src.Read(p) }
	}()), size)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestUploadFailures(t *testing.T) {
	broken := errors.New("broken")
	body := randomBytes(10 * testPart)

	t.Run("source in first part", func(t *testing.T) {
		m := newMemory(t)
		r := io.MultiReader(bytes.NewReader(body[:100]), iotest.ErrReader(broken))
		_, err := Upload(t.Context(), r, testOptions(t, 2), m)
		if !errors.Is(err, broken) || m.visible || m.begun {
			t.Errorf("%v, visible %v, begun %v", err, m.visible, m.begun)
		}
	})
	t.Run("source in part 3", func(t *testing.T) {
		m := newMemory(t)
		r := io.MultiReader(bytes.NewReader(body[:2*testPart+100]), iotest.ErrReader(broken))
		_, err := Upload(t.Context(), r, testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
	})
	t.Run("part", func(t *testing.T) {
		m := newMemory(t)
		m.failPart = func(n int) error {
			if n == 4 {
				return broken
			}
			return nil
		}
		_, err := Upload(t.Context(), bytes.NewReader(body), testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
	})
	t.Run("commit", func(t *testing.T) {
		m := newMemory(t)
		m.failCommit = broken
		_, err := Upload(t.Context(), bytes.NewReader(body), testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
	})
	t.Run("context", func(t *testing.T) {
		m := newMemory(t)
		m.hold = make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		var reads atomic.Int32
		r := readerFunc(func(p []byte) (int, error) {
			if reads.Add(1) == 4 {
				cancel(broken)
			}
			return len(p), nil
		})
		_, err := Upload(ctx, r, testOptions(t, 4), m)
		wantAborted(t, m, err, broken)
	})
	t.Run("context ends with a clean end of the body", func(t *testing.T) {
		m := newMemory(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		src := bytes.NewReader(body)
		r := readerFunc(func(p []byte) (int, error) {
			n, err := src.Read(p)
			if err == io.EOF {
				cancel(broken)
			}
			return n, err
		})
		_, err := Upload(ctx, r, testOptions(t, 4), m)
		wantAborted(t, m, err, broken)
	})
}

// What Begin makes must not stay, whenever the upload fails.
func TestUploadFailuresDuringBegin(t *testing.T) {
	broken := errors.New("broken")
	body := randomBytes(10 * testPart)

	t.Run("begin", func(t *testing.T) {
		m := newMemory(t)
		m.beginning = func(context.Context) error { return broken }
		_, err := Upload(t.Context(), bytes.NewReader(body), testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
		if m.begun || len(m.parts) > 0 {
			t.Errorf("%d parts were sent without a Begin", len(m.parts))
		}
	})
	t.Run("source", func(t *testing.T) {
		m := newMemory(t)
		started, failed := make(chan struct{}), make(chan struct{})
		m.beginning = func(ctx context.Context) error {
			close(started)
			<-failed
			return ctx.Err() // of a client that has not yet got its answer
		}
		rest := readerFunc(func([]byte) (int, error) {
			<-started
			close(failed)
			return 0, broken
		})
		_, err := Upload(t.Context(), io.MultiReader(bytes.NewReader(body[:testPart+1]), rest), testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
		if !m.begun {
			t.Error("the source's error ended Begin at once")
		}
	})
	t.Run("context, and no answer", func(t *testing.T) {
		m := newMemory(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		m.beginning = func(ctx context.Context) error {
			cancel(broken)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		_, err := Upload(ctx, bytes.NewReader(body), testOptions(t, 2), m)
		wantAborted(t, m, err, broken)
	})
}

func wantAborted(t *testing.T, m *memory, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if m.visible || m.aborted != m.begun || m.abortErr != nil {
		t.Errorf("visible %v, begun %v, aborted %v on a context with error %v", m.visible, m.begun, m.aborted, m.abortErr)
	}
}

// Uploads that share a pool go on while others sit on their buffers.
func TestUploadsShareAPool(t *testing.T) {
	p := NewPool(testPart, 3)
	opts := UploadOptions{Pool: p, Concurrency: 2, MaxParts: 10000, MaxPartSize: 1 << 30}
	body := randomBytes(5*testPart + 3)

	var stalled sync.WaitGroup
	var ends []*io.PipeWriter
	for range 6 {
		r, w := io.Pipe()
		ends = append(ends, w)
		m := newMemory(t)
		stalled.Go(func() {
			if _, err := Upload(t.Context(), r, opts, m); err != nil {
				t.Error(err)
			}
			m.check(body, testPart)
		})
		w.Write(body[:testPart/2])
	}
	m := newMemory(t)
	if _, err := Upload(t.Context(), bytes.NewReader(body), opts, m); err != nil {
		t.Fatal(err)
	}
	m.check(body, testPart)
	for _, w := range ends {
		w.Write(body[testPart/2:])
		w.Close()
	}
	stalled.Wait()
	checkIdle(t, p)
}

func BenchmarkUpload(b *testing.B) {
	const size = 256 << 20
	p := NewPool(8<<20, 6)
	opts := UploadOptions{Pool: p, Concurrency: 5, MaxParts: 10000, MaxPartSize: 5 << 30}
	chunk := make([]byte, 16<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		r := io.LimitReader(readerFunc(func(p []byte) (int, error) { return copy(p, chunk), nil }), size)
		if _, err := Upload(b.Context(), r, opts, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUploadSmall(b *testing.B) {
	p := NewPool(8<<20, 6)
	opts := UploadOptions{Pool: p, Concurrency: 5, MaxParts: 10000, MaxPartSize: 5 << 30}
	body := make([]byte, 16<<10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Upload(b.Context(), streamed(body), opts, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Put(context.Context, []byte) error                   { return nil }
func (discard) Begin(context.Context) error                         { return nil }
func (discard) Part(context.Context, int, []byte) (struct{}, error) { return struct{}{}, nil }
func (discard) Commit(context.Context, []struct{}) error            { return nil }
func (discard) Abort(context.Context) error                         { return nil }

// streamed hides that a body is in memory.
func streamed(body []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(body)} }

// until waits for a state of a pool.
func until(t *testing.T, p *Pool, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		ok := reached()
		out, waiting := p.out, len(p.waiting)
		p.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d buffers are out, %d uploads wait", out, waiting)
		}
	}
}

// Uploads beyond the buffers of a strict pool wait for one, and get what another
// can spare.
func TestUploadsWaitForAStrictPool(t *testing.T) {
	const buffers, uploads = 4, 12
	p := NewStrictPool(testPart, buffers)
	defer checkIdle(t, p)
	opts := UploadOptions{Pool: p, Concurrency: 8, MaxParts: 10000, MaxPartSize: 1 << 30}
	body := randomBytes(6*testPart + 5)
	upload := func(group *sync.WaitGroup, body io.Reader, check []byte, m *memory) {
		m.hold = make(chan struct{})
		group.Go(func() {
			if _, err := Upload(t.Context(), body, opts, m); err != nil {
				t.Error(err)
			}
			m.check(check, testPart)
		})
	}

	// The first upload takes all buffers but the one that is for the next.
	var first, others sync.WaitGroup
	r, w := io.Pipe()
	greedy := newMemory(t)
	upload(&first, r, body, greedy)
	fed := make(chan struct{})
	go func() {
		w.Write(body[:5*testPart+1])
		close(fed)
	}()
	until(t, p, func() bool { return p.out == buffers-1 })
	var targets []*memory
	for range uploads {
		m := newMemory(t)
		targets = append(targets, m)
		upload(&others, streamed(body), body, m)
	}
	until(t, p, func() bool { return p.out == buffers && len(p.waiting) == uploads-1 })

	// When its parts are done, it keeps one, also while its body stands still.
	close(greedy.hold)
	<-fed
	until(t, p, func() bool { return p.out == buffers && len(p.waiting) == uploads-buffers+1 })
	for _, m := range targets {
		close(m.hold)
	}
	others.Wait()
	w.Write(body[5*testPart+1:])
	w.Close()
	first.Wait()
}

// An upload that is given up while it waits takes no buffer with it.
func TestUploadGivesUpItsTurn(t *testing.T) {
	p := NewStrictPool(testPart, 1)
	defer checkIdle(t, p)
	opts := UploadOptions{Pool: p, Concurrency: 2, MaxParts: 10000, MaxPartSize: 1 << 30}
	b, err := p.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	broken := errors.New("broken")
	failed := make(chan error)
	go func() {
		_, err := Upload(ctx, streamed(randomBytes(100)), opts, newMemory(t))
		failed <- err
	}()
	until(t, p, func() bool { return len(p.waiting) == 1 })
	cancel(broken)
	if err := <-failed; !errors.Is(err, broken) {
		t.Error(err)
	}
	p.put(b)
	m := newMemory(t)
	body := randomBytes(3 * testPart)
	if _, err := Upload(t.Context(), streamed(body), opts, m); err != nil {
		t.Fatal(err)
	}
	m.check(body, testPart)
}

// A body that is in memory waits for nothing.
func TestUploadFromMemory(t *testing.T) {
	p := NewStrictPool(testPart, 1)
	defer checkIdle(t, p)
	b, err := p.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.put(b)
	opts := UploadOptions{Pool: p, Concurrency: 1, MaxParts: 10000, MaxPartSize: 1 << 30}
	for _, size := range []int{0, 71, testPart} {
		body := randomBytes(size)
		for _, r := range []io.Reader{bytes.NewReader(body), strings.NewReader(string(body))} {
			m := newMemory(t)
			if n, err := Upload(t.Context(), r, opts, m); err != nil || n != int64(size) {
				t.Fatalf("%d bytes: %d, %v", size, n, err)
			}
			m.check(body, testPart)
		}
	}
}

// Downloads leave the last buffer of a strict pool to an upload that they feed.
func TestDownloadsFeedUploadsOfTheSamePool(t *testing.T) {
	p := NewStrictPool(testPart, 2)
	defer checkIdle(t, p)
	content := randomBytes(20 * testPart)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s := &shelf{content: content, version: "v"}
			r, err := Download(t.Context(), DownloadOptions{Pool: p, Concurrency: 3}, s.get)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			m := newMemory(t)
			if _, err := Upload(t.Context(), r, UploadOptions{Pool: p, Concurrency: 3, MaxParts: 10000, MaxPartSize: 1 << 30}, m); err != nil {
				t.Error(err)
			}
			m.check(content, testPart)
		})
	}
	all.Wait()
}
