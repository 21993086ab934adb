package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// shelf is a store with one object, and with the faults that stores have.
type shelf struct {
	content []byte
	version string

	ignoreRanges bool
	unknownSize  bool
	// breakAfter, when > 0, breaks the first breaks bodies after so many bytes.
	breakAfter, breaks int
	// changeAfter, when > 0, replaces the object after so many requests.
	changeAfter int
	// gate, when set, is received from before a range other than the first is
	// answered.
	gate chan struct{}

	mu       sync.Mutex
	requests []Range
	open     int
	peak     int
}

var errReset = errors.New("connection reset by peer")

func (s *shelf) get(ctx context.Context, r Range, version string) (*Body, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.changeAfter > 0 && len(s.requests) > s.changeAfter {
		s.version = "other"
	}
	if version != "" && version != s.version {
		return nil, ErrChanged
	}
	b := &Body{Offset: r.Offset, Size: int64(len(s.content)), Version: s.version}
	data := s.content[min(r.Offset, b.Size):min(r.Offset+r.Length, b.Size)]
	if s.ignoreRanges {
		b.Offset, b.Whole, data = 0, true, s.content
	}
	if s.unknownSize {
		b.Size, b.Whole = -1, true
	}
	var body io.Reader = bytes.NewReader(data)
	if s.breakAfter > 0 && s.breaks > 0 && len(data) > s.breakAfter {
		s.breaks--
		body = io.MultiReader(bytes.NewReader(data[:s.breakAfter]), iotest.ErrReader(errReset))
	}
	s.open++
	s.peak = max(s.peak, s.open)
	b.ReadCloser = &shelfBody{Reader: body, s: s, ctx: ctx, gated: s.gate != nil && r.Offset > 0}
	return b, nil
}

type shelfBody struct {
	io.Reader
	s      *shelf
	ctx    context.Context
	gated  bool
	closed bool
}

func (b *shelfBody) Read(p []byte) (int, error) {
	if b.gated {
		select {
		case <-b.s.gate:
			b.gated = false
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	return b.Reader.Read(p)
}

func (b *shelfBody) Close() error {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.s.open--
	}
	return nil
}

func downloadOptions(t *testing.T) DownloadOptions {
	p := NewPool(testPart, 6)
	t.Cleanup(func() { checkIdle(t, p) })
	return DownloadOptions{Pool: p, Concurrency: 4}
}

// readAll reads in odd pieces and checks the reader's manners.
func readAll(t *testing.T, r io.Reader) ([]byte, error) {
	t.Helper()
	var out []byte
	p := make([]byte, 10007)
	for {
		n, err := r.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if n == 0 {
			t.Fatal("Read returned nothing and no error")
		}
	}
}

// readChunks reads to the end, keeps two chunks at a time and overwrites each
// when it gives it up.
func readChunks(t *testing.T, r Reader) ([]byte, error) {
	t.Helper()
	var all []byte
	previous := func() {}
	for {
		p := make([]byte, testPart/3)
		data, release, err := r.ReadChunk(p)
		if err != nil {
			previous()
			if len(data) > 0 || release != nil {
				t.Error("data together with an error")
			}
			if err == io.EOF {
				err = nil
			}
			return all, err
		}
		if len(data) == 0 {
			t.Error("neither data nor an error")
		}
		all = append(all, data...)
		previous()
		previous = func() {
			clear(data)
			if release != nil {
				release()
			}
		}
	}
}

func TestDownload(t *testing.T) {
	for _, size := range []int{0, 1, testPart - 1, testPart, testPart + 1, 3 * testPart, 40*testPart + 17} {
		content := randomBytes(size)
		for name, s := range map[string]*shelf{
			"ranges":       {},
			"no ranges":    {ignoreRanges: true},
			"unknown size": {unknownSize: true, ignoreRanges: true},
			"one break":    {breakAfter: 1000, breaks: 1},
			"many breaks":  {breakAfter: 30000, breaks: 50},
			"breaks and no ranges": {
				breakAfter: 1000, breaks: 3, ignoreRanges: true,
			},
		} {
			t.Run(name, func(t *testing.T) {
				s.content, s.version = content, "v1"
				breaks := s.breaks
				r, err := Download(t.Context(), downloadOptions(t), s.get)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := readAll(t, r)
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
				}
				r.Close()
				s.breaks = breaks
				r, err = Download(t.Context(), downloadOptions(t), s.get)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err = readChunks(t, r)
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%d bytes in chunks: got %d, %v", size, len(got), err)
				}
				if s.peak > 4 {
					t.Errorf("%d bodies open at once", s.peak)
				}
				r.Close()
				if s.open != 0 {
					t.Errorf("%d bodies left open", s.open)
				}
			})
		}
	}
}

func TestDownloadReadsAhead(t *testing.T) {
	s := &shelf{content: randomBytes(40 * testPart), gate: make(chan struct{})}
	r, err := Download(t.Context(), downloadOptions(t), s.get)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The first range is not read yet, three more are requested behind it.
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.open == 4 })
	go func() {
		for range 39 {
			s.gate <- struct{}{}
		}
	}()
	got, err := readAll(t, r)
	if err != nil || !bytes.Equal(got, s.content) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if s.peak != 4 {
		t.Errorf("%d requests in flight, want 4", s.peak)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// One connection is enough as long as it is fast, also after it was resumed.
func TestDownloadThatIsFast(t *testing.T) {
	opts := downloadOptions(t)
	opts.EnoughRate = 1 // byte per second
	s := &shelf{content: randomBytes(40*testPart + 1), breakAfter: 20 * testPart, breaks: 1}
	r, err := Download(t.Context(), opts, s.get)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := readAll(t, r)
	if err != nil || !bytes.Equal(got, s.content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if len(s.requests) != 3 || s.peak != 1 {
		t.Errorf("%d requests, %d at once", len(s.requests), s.peak)
	}
}

// A connection that turns out slow gets help, whatever it was asked for.
func TestDownloadThatBecomesSlow(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		opts := downloadOptions(t)
		opts.EnoughRate = 1e15
		s := &shelf{content: randomBytes(200*testPart + 1), ignoreRanges: ignore}
		r, err := Download(t.Context(), opts, s.get)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readAll(t, r)
		if err != nil || !bytes.Equal(got, s.content) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		// The first range is too short to tell, so a second goes to the end.
		if ignore && len(s.requests) != 1 || !ignore && (len(s.requests) < 100 || s.requests[1].Length < 100*testPart) {
			t.Errorf("ranges ignored %v: %d requests", ignore, len(s.requests))
		}
	}
}

func TestDownloadFailures(t *testing.T) {
	content := randomBytes(12 * testPart)
	t.Run("absent", func(t *testing.T) {
		_, err := Download(t.Context(), downloadOptions(t), func(context.Context, Range, string) (*Body, error) {
			return nil, fs.ErrNotExist
		})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("changed", func(t *testing.T) {
		s := &shelf{content: content, version: "v1", changeAfter: 6}
		r, err := Download(t.Context(), downloadOptions(t), s.get)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readAll(t, r)
		if !errors.Is(err, ErrChanged) || !bytes.HasPrefix(content, got) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, again := r.Read(make([]byte, 1)); again != err {
			t.Errorf("the second error is %v", again)
		}
	})
	t.Run("breaks without progress", func(t *testing.T) {
		s := &shelf{content: content}
		r, err := Download(t.Context(), downloadOptions(t), func(ctx context.Context, r Range, v string) (*Body, error) {
			b, err := s.get(ctx, r, v)
			if r.Offset > testPart {
				b.ReadCloser = io.NopCloser(iotest.ErrReader(errReset))
			}
			return b, err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(t, r)
		if !errors.Is(err, errReset) || !bytes.HasPrefix(content, got) || len(got) == len(content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		r.Close()
	})
	t.Run("short bodies", func(t *testing.T) {
		// The body claims to be whole and ends early, without an error.
		r, err := Download(t.Context(), downloadOptions(t), func(context.Context, Range, string) (*Body, error) {
			return &Body{ReadCloser: io.NopCloser(strings.NewReader("abc")), Size: 10, Whole: true}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readAll(t, r)
		if !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "abc" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("context", func(t *testing.T) {
		s := &shelf{content: content, gate: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := Download(ctx, downloadOptions(t), s.get)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadFull(r, make([]byte, testPart)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Millisecond, func() { cancel(errReset) })
		if _, err := readAll(t, r); !errors.Is(err, errReset) {
			t.Error(err)
		}
	})
}

// Close frees everything, also in the middle and during a Read.
func TestDownloadClose(t *testing.T) {
	for _, read := range []int{0, 100, testPart + 100} {
		s := &shelf{content: randomBytes(40 * testPart)}
		r, err := Download(t.Context(), downloadOptions(t), s.get)
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(r, make([]byte, read))
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if s.open != 0 {
			t.Errorf("%d bodies left open", s.open)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Read after Close: %d, %v", n, err)
		}
		r.Close()
	}

	s := &shelf{content: randomBytes(40 * testPart), gate: make(chan struct{})}
	r, err := Download(t.Context(), downloadOptions(t), s.get)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, r)
		ended <- err
	}()
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.open == 4 })
	r.Close()
	if err := <-ended; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Read during Close: %v", err)
	}
}

// A download goes on when others hold all buffers.
func TestDownloadWithoutBuffers(t *testing.T) {
	opts := downloadOptions(t)
	content := randomBytes(20 * testPart)
	var idle []io.Closer
	for range 3 {
		s := &shelf{content: content}
		r, err := Download(t.Context(), opts, s.get)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, r)
	}
	s := &shelf{content: content}
	r, err := Download(t.Context(), opts, s.get)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, r)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	for _, c := range idle {
		c.Close()
	}
}

func BenchmarkDownload(b *testing.B) {
	const size = 256 << 20
	p := NewPool(8<<20, 6)
	content := make([]byte, size)
	buf := make([]byte, 32<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		s := &shelf{content: content}
		r, err := Download(b.Context(), DownloadOptions{Pool: p, Concurrency: 4}, s.get)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil || n != size {
			b.Fatal(n, err)
		}
		r.Close()
	}
}
