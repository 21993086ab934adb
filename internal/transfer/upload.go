package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// abortTime bounds the clean-up after a failed upload.
const abortTime = 30 * time.Second

// largeFactor is by how much parts grow when their number nears its limit.
const largeFactor = 16

// Target is the store's side of one upload. Part is called concurrently; the
// other methods are not. The byte slices are valid until the method returns and
// must not be read afterwards, not even by a request that has failed.
//
// T is what the store has to remember of a part.
type Target[T any] interface {
	// Put stores an object that fits into one request.
	Put(ctx context.Context, body []byte) error
	// Begin starts an object of several parts, of which nothing is visible yet. It
	// runs while the first parts are read, and before any Part.
	Begin(ctx context.Context) error
	// Part stores part n, counted from 1.
	Part(ctx context.Context, n int, body []byte) (T, error)
	// Commit makes the object visible. parts are in ascending order.
	Commit(ctx context.Context, parts []T) error
	// Abort removes all parts after a failure. It is called only after Begin has
	// succeeded, and on a context of its own.
	Abort(ctx context.Context) error
}

// UploadOptions are the limits of an upload.
type UploadOptions struct {
	// Pool gives the part buffers; its buffer size is the part size.
	Pool *Pool
	// Concurrency is how many parts may be in flight while the next one is
	// filled. With a source faster than the network one more is in flight.
	Concurrency int
	// MaxParts is the largest number of parts that the store takes. From nine
	// tenths of it on parts are 16 times as large and sent one at a time, so
	// that objects of unknown size can grow large with small parts.
	MaxParts int
	// MaxPartSize is the largest part that the store takes, in bytes.
	MaxPartSize int64
}

// ErrTooLarge says that an object needs more parts than the store takes.
var ErrTooLarge = errors.New("the object is too large for the number of parts that the store allows")

// SourceError is what the body of an upload failed with.
type SourceError struct{ Err error }

// Error implements the error interface.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the body's own error.
func (e *SourceError) Unwrap() error { return e.Err }

// Upload stores body, to its end, and returns its length in bytes. A body that
// fits into one part becomes one Put.
//
// An error of body, as a [SourceError], or of the target, and the end of ctx, fail the upload: Commit
// is not called, and Abort runs on a fresh context. A Read of body that blocks is
// waited for. When Upload returns, no call to the target is running.
func Upload[T any](ctx context.Context, body io.Reader, opts UploadOptions, target Target[T]) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u := &upload[T]{
		ctx:    ctx,
		cancel: cancel,
		source: source{ctx: ctx, body: body},
		opts:   opts,
		target: target,
		free:   make(chan []byte, opts.Concurrency+1),
	}
	defer u.returnBuffers()
	if err := u.run(); err != nil {
		return 0, err
	}
	return u.source.size, nil
}

// upload is the state of one Upload. Its buffers are in one of three places: in
// the hands of the goroutine that reads the body, in a part that is on its way,
// or in free.
type upload[T any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc // ends all parts
	source source
	opts   UploadOptions
	target Target[T]

	free chan []byte // buffers that no part needs any more

	begin  func() error // waits for the begin of the object of several parts
	sent   int          // parts handed to the target
	parts  sync.WaitGroup
	mu     sync.Mutex
	held   int // buffers taken from the pool
	tokens []T // what the target answered, by part
}

// run reads the first part, and one byte further to know whether it is the whole
// body.
func (u *upload[T]) run() error {
	if body, ok := inMemory(u.source.body, u.opts.Pool.Size()); ok {
		u.source.size = int64(len(body))
		return u.target.Put(u.ctx, body)
	}
	first, err := u.opts.Pool.get(u.ctx)
	if err != nil {
		return err
	}
	u.hold()
	n, err := u.source.fill(first)
	if err == nil {
		err = u.source.peek()
	}
	switch {
	case err != nil:
	case u.source.ended:
		err = u.target.Put(u.ctx, first[:n])
	default:
		return u.multipart(first)
	}
	u.free <- first
	return err
}

// inMemory returns a body that needs no buffer, since it is in memory and fits
// into one request.
func inMemory(body io.Reader, limit int) (content []byte, ok bool) {
	switch r := body.(type) {
	case *bytes.Reader:
		ok = r.Len() <= limit
	case *strings.Reader:
		ok = r.Len() <= limit
	}
	if ok {
		content, _ = io.ReadAll(body) // memory does not fail
	}
	return content, ok
}

// multipart sends a full first part and the rest of the body, and makes the
// object visible or removes what was sent.
func (u *upload[T]) multipart(first []byte) error {
	begun := make(chan struct{})
	var beginErr error
	go func() {
		defer close(begun)
		beginErr = beginWithGrace(u.ctx, u.target.Begin)
	}()
	u.begin = func() error { <-begun; return beginErr }
	err := u.allParts(first)
	u.returnBuffers() // others need them while the store puts the object together
	if u.begin(); beginErr != nil {
		return beginErr
	}
	if err == nil {
		err = u.target.Commit(u.ctx, u.tokens)
	}
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortTime)
	defer cancel()
	if abortErr := u.target.Abort(ctx); abortErr != nil {
		return fmt.Errorf("%w; the parts that were sent could not be removed: %w", err, abortErr)
	}
	return err
}

// beginGrace is how long a Begin that is under way when the upload fails may go
// on. Without an answer nobody knows what there is to abort.
const beginGrace = time.Second

func beginWithGrace(ctx context.Context, begin func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	patient, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(beginGrace, func() { cancel(context.Cause(ctx)) })
	})()
	return begin(patient)
}

// allParts sends the first part and the rest of the body. When it returns, no
// part is on its way.
func (u *upload[T]) allParts(first []byte) error {
	u.send(first)
	err := u.smallParts()
	if err != nil {
		u.cancel(err)
	}
	u.parts.Wait()
	if cause := context.Cause(u.ctx); cause != nil {
		return cause
	}
	if err == nil && !u.source.ended {
		err = u.largeParts()
	}
	return err
}

// smallParts sends parts of the size of the pool's buffers as long as their
// numbers are plenty.
func (u *upload[T]) smallParts() error {
	for !u.source.ended && u.sent < u.opts.MaxParts*9/10 {
		buf, err := u.nextBuffer()
		if err != nil {
			return err
		}
		n, err := u.source.fill(buf)
		if err != nil || n == 0 {
			u.free <- buf
			return err
		}
		u.send(buf[:n])
	}
	return nil
}

// largeParts sends the rest of the body, one large part after the other.
func (u *upload[T]) largeParts() error {
	u.returnBuffers()
	u.opts.Pool.Free()
	buf, err := allocate(int(min(int64(u.opts.Pool.Size())*largeFactor, u.opts.MaxPartSize)))
	if err != nil {
		return err
	}
	defer release(buf)
	for !u.source.ended {
		n, err := u.source.fill(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if u.sent == u.opts.MaxParts {
			return fmt.Errorf("%w: %d bytes fit into %d parts", ErrTooLarge, u.source.size-int64(n), u.sent)
		}
		u.sent++
		token, err := u.target.Part(u.ctx, u.sent, buf[:n])
		if err != nil {
			return err
		}
		u.tokens = append(u.tokens, token)
	}
	return nil
}

// nextBuffer returns a buffer for the next part. When neither the pool nor this
// upload has one left it waits for a part to be done.
func (u *upload[T]) nextBuffer() ([]byte, error) {
	select {
	case buf := <-u.free:
		return buf[:cap(buf)], nil
	default:
	}
	u.mu.Lock()
	more := u.held <= u.opts.Concurrency
	u.mu.Unlock()
	if more {
		buf, err := u.opts.Pool.tryGet()
		if err != nil {
			return nil, err
		}
		if buf != nil {
			u.hold()
			return buf, nil
		}
	}
	select {
	case buf := <-u.free:
		return buf[:cap(buf)], nil
	case <-u.ctx.Done():
		return nil, context.Cause(u.ctx)
	}
}

// hold counts a buffer that was taken from the pool.
func (u *upload[T]) hold() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held++
}

// done takes the buffer of a part that is no longer on its way. An upload that
// has none yet gets it, unless it is the only one here.
func (u *upload[T]) done(buf []byte) {
	u.mu.Lock()
	spare := u.held > 1 && u.opts.Pool.wanted()
	if spare {
		u.held--
	}
	u.mu.Unlock()
	if spare {
		u.opts.Pool.put(buf)
	} else {
		u.free <- buf
	}
}

// send uploads a part in the background and frees its buffer afterwards.
func (u *upload[T]) send(body []byte) {
	u.sent++
	n := u.sent
	u.mu.Lock()
	var zero T
	u.tokens = append(u.tokens, zero)
	u.mu.Unlock()
	u.parts.Go(func() {
		var token T
		err := u.begin()
		if err == nil {
			token, err = u.target.Part(u.ctx, n, body)
		}
		u.done(body)
		if err != nil {
			u.cancel(err)
			return
		}
		u.mu.Lock()
		u.tokens[n-1] = token
		u.mu.Unlock()
	})
}

// returnBuffers gives the buffers back to the pool. No part is on its way.
func (u *upload[T]) returnBuffers() {
	for len(u.free) > 0 {
		u.opts.Pool.put(<-u.free)
		u.held--
	}
}

// source reads the body of an upload.
type source struct {
	ctx   context.Context
	body  io.Reader
	size  int64 // bytes read
	ended bool  // the body is read to its end

	peeked    byte
	hasPeeked bool
}

// fill reads until p is full or the body ends.
func (s *source) fill(p []byte) (n int, err error) {
	if s.hasPeeked && len(p) > 0 {
		p[0], n, s.hasPeeked = s.peeked, 1, false
	}
	for n < len(p) && !s.ended {
		m, err := s.read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// peek finds out whether the body goes on.
func (s *source) peek() error {
	var p [1]byte
	for !s.ended {
		n, err := s.read(p[:])
		if err != nil {
			return err
		}
		if n == 1 {
			s.peeked, s.hasPeeked = p[0], true
			// The body has not ended as long as the byte is not used.
			s.ended = false
			return nil
		}
	}
	return nil
}

// read reads once. The end of the body is not an error, but a failed part or the
// end of the context is.
func (s *source) read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.body.Read(p)
	s.size += int64(n)
	switch {
	case err == io.EOF:
		s.ended = true
		return n, nil
	case err != nil:
		return n, &SourceError{err}
	}
	return n, nil
}
