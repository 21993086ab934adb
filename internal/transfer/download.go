package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// rangeSize is how much one request of a download asks for, in bytes. It is
// large enough to hide the round trip and small enough to keep several in
// memory.
const rangeSize = 8 << 20

// ErrChanged says that an object was replaced while it was read.
var ErrChanged = errors.New("the object changed while it was being read")

// Range is a part of an object, in bytes.
type Range struct{ Offset, Length int64 }

// Body is a store's answer to a request for a range.
type Body struct {
	io.ReadCloser
	Offset  int64  // of the first byte that ReadCloser delivers
	Size    int64  // of the whole object; -1 if the store did not say, which the first answer may leave out only if it is Whole
	Version string // changes with the content (an ETag), "" if the store has none
	Whole   bool   // ReadCloser goes to the end of the object: the store ignored the range
}

// Open asks the store for a range of one object. The range may reach beyond the
// end of the object. With a version it must fail with [ErrChanged] when the
// object has another one. ctx is valid until the body is closed.
type Open func(ctx context.Context, r Range, version string) (*Body, error)

// DownloadOptions are the limits of a download.
type DownloadOptions struct {
	// Pool gives the buffers for what is read ahead. When it has none left a
	// download goes on without reading ahead.
	Pool *Pool
	// Concurrency is the number of requests in flight. One more range may wait in
	// memory to be read.
	Concurrency int
	// EnoughRate is the rate of one connection, in bytes per second, at which
	// nothing is read ahead: more connections would gain nothing, and the way
	// through memory costs time. 0 reads ahead in any case.
	EnoughRate float64
}

// Reader reads an object. Its methods are not concurrent, but for Close.
type Reader interface {
	io.ReadCloser
	// ReadChunk returns the next bytes of the object, without a copy if it can: a
	// range that was read ahead, which stays valid until release is called.
	// Otherwise it reads into p, until p is full or the range ends, and release is
	// nil. Errors are those of Read, and come without data.
	ReadChunk(p []byte) (data []byte, release func(), err error)
}

// Download returns the object's bytes. It sends the first request itself, so that
// an absent object is its error; the answer tells the size. An object larger than
// one range is read ahead by concurrent requests if one connection is slow. A
// body that breaks is resumed.
//
// The reader ends with io.EOF only after the last byte. It never returns 0 bytes
// without an error. Close stops all requests and frees all buffers; it may be
// called at any time, also while a Read runs.
func Download(ctx context.Context, opts DownloadOptions, open Open) (Reader, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	length := int64(min(rangeSize, opts.Pool.Size()))
	body, err := open(ctx, Range{0, length}, "")
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if body.Size < 0 && !body.Whole {
		// Nobody could tell the end of the object from the end of the range.
		body.Close()
		cancel(nil)
		return nil, errors.New("the store sent a range of the object without the object's size")
	}
	d := &download{
		ctx:     ctx,
		cancel:  cancel,
		opts:    opts,
		object:  object{open: open, size: body.Size, version: body.Version},
		length:  length,
		running: 1,
	}
	d.next = length
	if body.Whole || body.Size < 0 || body.Size < length {
		d.next = body.Size
	}
	d.whole = body.Whole
	d.slow = opts.EnoughRate == 0
	d.direct = &stream{ctx: ctx, object: &d.object, body: body, end: d.next}
	d.mu.Lock()
	d.readAhead()
	d.mu.Unlock()
	return d, nil
}

// object is what all requests of a download have in common.
type object struct {
	open    Open
	size    int64
	version string
}

// chunk is a range that is read ahead.
type chunk struct {
	buf  []byte
	err  error
	done chan struct{} // closed when buf is full or err is set
}

type download struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	opts   DownloadOptions
	object object
	length int64 // of a range
	whole  bool  // the store ignores ranges, so the first body is all there is

	// reading is held while a Read runs.
	reading sync.Mutex
	direct  *stream // range that is read straight from its request
	current *chunk  // range that is read from memory
	rest    []byte  // what is left of current
	err     error   // ends all further reads

	mu      sync.Mutex
	slow    bool     // one connection is not enough
	queue   []*chunk // ranges that follow, in order
	next    int64    // offset behind the last range requested
	running int      // requests in flight
	buffers int      // buffers in use
	fetches sync.WaitGroup
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	d.reading.Lock()
	defer d.reading.Unlock()
	for d.err == nil {
		n, err := d.readRange(p)
		switch {
		case n > 0:
			return n, nil
		case err == io.EOF:
			d.err = d.nextRange()
		default:
			d.err = err
		}
	}
	return 0, d.err
}

// ReadChunk implements Reader.
func (d *download) ReadChunk(p []byte) (data []byte, release func(), err error) {
	if len(p) == 0 {
		return nil, nil, nil
	}
	d.reading.Lock()
	defer d.reading.Unlock()
	for d.err == nil {
		if d.current != nil && len(d.rest) > 0 {
			data, release = d.rest, d.releaser(d.current)
			d.current, d.rest = nil, nil
			return data, release, nil
		}
		n := 0
		for n < len(p) && err == nil {
			var m int
			m, err = d.readRange(p[n:])
			n += m
		}
		if err == io.EOF {
			err = d.nextRange()
		}
		d.err = err
		if n > 0 {
			return p[:n], nil, nil
		}
	}
	return nil, nil, d.err
}

// releaser returns the function that gives up a range which was handed out.
func (d *download) releaser(c *chunk) func() {
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.freeBuffer(c.buf)
		d.readAhead()
	})
}

// readRange reads from the range at hand; io.EOF is its end.
func (d *download) readRange(p []byte) (int, error) {
	if d.direct != nil {
		n, err := d.direct.Read(p)
		d.watch()
		return n, err
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// watch finds out whether the request at hand needs help. One that goes to the
// end of the object then gives up all but its next bytes. d.reading is held.
func (d *download) watch() {
	if d.slow || d.whole || d.direct.pace.atLeast(d.opts.EnoughRate) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = true
	if cut := d.direct.off + d.length; cut < d.direct.end {
		d.direct.end, d.next = cut, cut
	}
	d.readAhead()
}

// nextRange replaces the range at hand by the one that follows; io.EOF is the end
// of the object.
func (d *download) nextRange() error {
	d.mu.Lock()
	d.finishRange()
	d.readAhead()
	if len(d.queue) == 0 {
		defer d.mu.Unlock()
		if d.next >= d.object.size {
			return io.EOF
		}
		start := d.next
		d.next = d.object.size
		if d.slow {
			d.next = min(start+d.length, d.object.size)
		}
		d.direct = &stream{ctx: d.ctx, object: &d.object, off: start, end: d.next}
		d.running++
		return nil
	}
	c := d.queue[0]
	d.queue = d.queue[1:]
	d.current = c
	d.mu.Unlock()

	select {
	case <-c.done:
		d.rest = c.buf
		return c.err
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
}

// finishRange frees the range at hand. d.reading and d.mu are held.
func (d *download) finishRange() {
	if d.direct != nil {
		d.direct.close()
		d.direct = nil
		d.running--
	}
	if d.current != nil {
		d.freeBuffer(d.current.buf)
		d.current, d.rest = nil, nil
	}
}

// readAhead starts as many requests as the limits allow. d.mu is held.
func (d *download) readAhead() {
	for d.slow && d.next < d.object.size && d.running < d.opts.Concurrency && d.buffers <= d.opts.Concurrency && d.ctx.Err() == nil {
		buf, err := d.opts.Pool.tryGet()
		if err != nil || buf == nil {
			return // nextRange goes on without a buffer
		}
		d.buffers++
		d.running++
		start := d.next
		d.next = min(start+d.length, d.object.size)
		c := &chunk{buf: buf[:d.next-start], done: make(chan struct{})}
		d.queue = append(d.queue, c)
		s := &stream{ctx: d.ctx, object: &d.object, off: start, end: d.next}
		d.fetches.Go(func() { d.fetch(c, s) })
	}
}

func (d *download) fetch(c *chunk, s *stream) {
	_, c.err = io.ReadFull(s, c.buf)
	s.close()
	close(c.done)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	if c.err == nil {
		d.readAhead()
	}
}

func (d *download) freeBuffer(b []byte) {
	d.opts.Pool.put(b)
	d.buffers--
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.cancel(fmt.Errorf("error reading object: %w", fs.ErrClosed))
	d.reading.Lock()
	defer d.reading.Unlock()
	if d.err == nil || d.err == io.EOF {
		d.err = context.Cause(d.ctx)
	}
	d.fetches.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finishRange()
	for _, c := range d.queue {
		d.freeBuffer(c.buf)
	}
	d.queue = nil
	return nil
}
