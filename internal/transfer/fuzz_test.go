package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// errPlanned is the error of a fault that a fuzz target has planned.
var errPlanned = errors.New("planned")

// content returns n bytes of which each differs from its neighbours.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// assembly is a target that keeps what it gets and fails once.
type assembly struct {
	mu      sync.Mutex
	left    int // calls until one fails; 0: none fails
	begun   bool
	aborted bool
	parts   map[int][]byte
	visible []byte
}

// step returns the planned error when its time has come.
func (a *assembly) step() error {
	a.left--
	if a.left == 0 {
		return errPlanned
	}
	return nil
}

func (a *assembly) Put(_ context.Context, body []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.step(); err != nil {
		return err
	}
	a.visible = bytes.Clone(body)
	return nil
}

func (a *assembly) Begin(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.step()
	a.begun = err == nil
	return err
}

func (a *assembly) Part(_ context.Context, n int, body []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parts[n] = bytes.Clone(body)
	return n, a.step()
}

func (a *assembly) Commit(_ context.Context, parts []int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.step(); err != nil {
		return err
	}
	a.visible = []byte{}
	for _, n := range parts {
		a.visible = append(a.visible, a.parts[n]...)
	}
	return nil
}

func (a *assembly) Abort(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.aborted = true
	return nil
}

// FuzzUpload uploads bodies of any size, with one fault at any place: an object
// is whole or not there.
func FuzzUpload(f *testing.F) {
	f.Add(uint16(0), uint8(1), uint8(0), uint8(10), uint8(0), uint16(0))
	f.Add(uint16(100), uint8(3), uint8(2), uint8(10), uint8(0), uint16(1000))
	f.Add(uint16(100), uint8(200), uint8(1), uint8(10), uint8(3), uint16(1000))
	f.Add(uint16(700), uint8(16), uint8(4), uint8(20), uint8(0), uint16(500))
	f.Add(uint16(160), uint8(16), uint8(3), uint8(10), uint8(12), uint16(1000))
	f.Add(uint16(160), uint8(16), uint8(130), uint8(10), uint8(3), uint16(1000))
	f.Fuzz(func(t *testing.T, size uint16, piece, concurrency, maxParts, failAt uint8, breakAt uint16) {
		const part = 16
		want := content(int(size))
		var body io.Reader = bytes.NewReader(want)
		if breakAt < size {
			body = io.MultiReader(bytes.NewReader(want[:breakAt]), iotest.ErrReader(errPlanned))
		}
		newPool := NewPool
		if concurrency >= 128 {
			newPool = NewStrictPool
		}
		pool := newPool(part, 1+int(concurrency)%5)
		target := &assembly{left: int(failAt), parts: map[int][]byte{}}
		n, err := Upload(t.Context(), &pieces{body, 1 + int(piece)}, UploadOptions{
			Pool: pool, Concurrency: 1 + int(concurrency)%4, MaxParts: 2 + int(maxParts), MaxPartSize: part * 8,
		}, target)
		checkIdle(t, pool)
		if err == nil {
			if n != int64(size) || !bytes.Equal(target.visible, want) || target.aborted {
				t.Fatalf("%d bytes of %d are visible, aborted %v", len(target.visible), size, target.aborted)
			}
			return
		}
		if target.visible != nil || target.begun != target.aborted {
			t.Fatalf("%v: visible %v, begun %v, aborted %v", err, target.visible != nil, target.begun, target.aborted)
		}
		if !errors.Is(err, errPlanned) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("an error of its own: %v", err)
		}
	})
}

// pieces reads no more than size bytes at once.
type pieces struct {
	io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }

// script is a store that answers each request as the next byte says.
type script struct {
	object []byte
	mu     sync.Mutex
	steps  []byte
}

func (s *script) next() (what, where int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) < 2 {
		return 0, 0
	}
	what, where = int(s.steps[0]), int(s.steps[1])
	s.steps = s.steps[2:]
	return what, where
}

func (s *script) open(_ context.Context, r Range, version string) (*Body, error) {
	what, where := s.next()
	size := int64(len(s.object))
	from := min(r.Offset, size)
	b := &Body{Offset: from, Size: size, Version: "1"}
	data := s.object[from:min(r.Offset+r.Length, size)]
	switch what % 12 {
	case 1:
		return nil, errPlanned
	case 2: // ignores the range
		b.Offset, b.Whole, data = 0, true, s.object
	case 3: // begins earlier
		b.Offset -= min(int64(where), from)
		data = s.object[b.Offset:min(r.Offset+r.Length, size)]
	case 4: // begins later
		b.Offset += int64(where)
	case 5: // was replaced
		if version != "" {
			b.Version = "2"
		}
	case 6: // has another size
		if version != "" {
			b.Size += int64(where)
		}
	case 7: // does not tell the size
		b.Size = -1
	case 8: // does not tell the size of a whole answer
		b.Offset, b.Whole, b.Size, data = 0, true, -1, s.object
	case 9: // sends more than was asked for
		data = s.object[from:]
	}
	var body io.Reader = bytes.NewReader(data)
	if cut := min(where, len(data)); what >= 128 {
		body = io.MultiReader(bytes.NewReader(data[:cut]), iotest.ErrReader(errReset))
	} else if what >= 64 && b.Size >= 0 {
		body = bytes.NewReader(data[:cut]) // the end comes early
	}
	b.ReadCloser = io.NopCloser(&pieces{body, 1 + where})
	return b, nil
}

// FuzzDownload reads objects from stores that answer in any way. What ends
// without an error is the whole object.
func FuzzDownload(f *testing.F) {
	f.Add(uint16(0), uint8(1), uint8(0), []byte{})
	f.Add(uint16(100), uint8(9), uint8(3), []byte{0, 0, 128, 5, 2, 0})
	f.Add(uint16(300), uint8(50), uint8(2), []byte{7, 0})
	f.Add(uint16(300), uint8(50), uint8(2), []byte{8, 0, 130, 4, 136, 9})
	f.Add(uint16(300), uint8(50), uint8(7), []byte{0, 0, 64, 3, 9, 1, 3, 2, 5, 0, 6, 1})
	f.Fuzz(func(t *testing.T, size uint16, piece, shape uint8, steps []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{object: content(int(size) % 1000), steps: steps}
			pool := NewPool(16, int(shape)%4)
			options := DownloadOptions{Pool: pool, Concurrency: 1 + int(shape)%3}
			if shape&64 != 0 {
				options.EnoughRate = 1 << 40
			}
			r, err := Download(t.Context(), options, s.open)
			if err != nil {
				return
			}
			var got []byte
			if shape&128 != 0 {
				got, err = chunked(r, 1+int(piece))
			} else {
				got, err = io.ReadAll(&pieces{r, 1 + int(piece)})
			}
			if !bytes.HasPrefix(s.object, got) || err == nil && len(got) != len(s.object) {
				t.Fatalf("%d of %d bytes, %v", len(got), len(s.object), err)
			}
			if err != nil && strings.Contains(err.Error(), "closed") {
				t.Errorf("an error of its own: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			checkIdle(t, pool)
		})
	})
}

func chunked(r Reader, size int) (got []byte, err error) {
	p := make([]byte, size)
	for {
		data, release, err := r.ReadChunk(p)
		got = append(got, data...)
		if release != nil {
			release()
		}
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}
