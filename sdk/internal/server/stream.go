package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// Upload returns the method that takes an object from the host. f gets the
// first message, whose strings name the object, and a reader of the body. The
// reader ends with an error other than io.EOF when the host goes away.
//
// When f fails, the rest of the body is read and dropped before the answer:
// the host's client sees the error's text only if its sends succeed.
func Upload(s *Server, name string, f func(ctx context.Context, first *Chunk, body io.Reader) error) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName:    name,
		ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			ctx, cancel := s.context(stream.Context())
			defer cancel()
			first := &Chunk{first: true}
			switch err := stream.RecvMsg(first); {
			case errors.Is(err, io.EOF):
				return status.Error(codes.Unknown, "no data came for the object: Velero cannot send an empty one, and its name is not known")
			case err != nil:
				return err
			}
			body := &bodyReader{stream: stream, chunk: Chunk{body: first.body}, stop: ctx}
			err := guard(func() string { return subject(name, first) }, func() error {
				return f(ctx, first, body)
			})
			if err == nil {
				err = body.finish(first.Key)
			}
			if err != nil {
				s.log.Debug("upload failed, waiting for the host to end it", "key", first.Key, "error", err)
				s.drain(body)
				return answer(err)
			}
			return stream.SendMsg(&abi.Empty{})
		},
	}
}

// GetPlugin and GetKey name the chunk's object, as those of a request do.
func (c *Chunk) GetPlugin() string { return c.Plugin }
func (c *Chunk) GetKey() string    { return c.Key }

// drain reads the rest of a body, for a bounded time. The read that is under
// way when the time is over ends with the stream.
func (s *Server) drain(body *bodyReader) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for body.next() == nil {
		}
	}()
	s.within(s.limits.Drain, done)
}

// within waits for done and reports whether it came before the limit and the
// end of the process.
func (s *Server) within(limit time.Duration, done <-chan struct{}) bool {
	var expired <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-done:
		return true
	case <-expired:
	case <-s.running.Done():
	}
	return false
}

// bodyReader reads the bodies of the messages of an upload, one after another.
type bodyReader struct {
	stream grpc.ServerStream
	stop   context.Context
	chunk  Chunk // reused for all messages
	read   int   // buffers of chunk.body that are read and freed
	err    error // sticky
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.read == len(r.chunk.body) {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := 0
	for n < len(p) && r.read < len(r.chunk.body) {
		m, rest := mem.ReadUnsafe(p[n:], r.chunk.body[r.read])
		n += m
		r.chunk.body[r.read] = rest
		if rest == nil {
			r.read++
		}
	}
	return n, nil
}

// next replaces the chunk by the next one of the stream.
func (r *bodyReader) next() error {
	if r.err != nil {
		return r.err
	}
	r.chunk.body[r.read:].Free()
	r.chunk.body, r.read = r.chunk.body[:0], 0
	if err := r.stop.Err(); err != nil {
		r.err = context.Cause(r.stop)
		return r.err
	}
	if err := r.stream.RecvMsg(&r.chunk); err != nil {
		r.err = err
	}
	return r.err
}

// finish returns an error unless the body was read to its end.
func (r *bodyReader) finish(key string) error {
	if r.err == nil && r.read == len(r.chunk.body) {
		r.next()
	}
	switch {
	case r.err == nil:
		return fmt.Errorf("the store took only a part of %s and reported success", key)
	case errors.Is(r.err, io.EOF):
		return nil
	}
	return fmt.Errorf("the body of %s broke off, and the store reported success: %w", key, r.err)
}

// Download returns the method that sends an object to the host. f returns the
// object's reader, which is closed in every case.
func Download[M any, Request message[M]](s *Server, name string, f func(context.Context, Request) (io.ReadCloser, error)) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName:    name,
		ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error {
			ctx, cancel := s.context(stream.Context())
			defer cancel()
			request := Request(new(M))
			if err := stream.RecvMsg(request); err != nil {
				return err
			}
			about := func() string { return subject(name, request) }
			var object io.ReadCloser
			err := guard(about, func() (err error) {
				object, err = f(ctx, request)
				return err
			})
			if err != nil {
				return answer(err)
			}
			if object == nil {
				return answer(fmt.Errorf("%s returned neither an object nor an error", about()))
			}
			err = guard(about, func() error { return s.send(ctx, stream, object) })
			// A close that fails or panics changes nothing for what was sent.
			if cerr := guard(about, object.Close); cerr != nil {
				s.log.Debug("closing the object", "error", cerr)
			}
			if err != nil {
				return answer(err)
			}
			return nil
		},
	}
}

// chunkReader is a reader that may hand out its own buffers, which saves a copy
// of each byte. ReadChunk either reads into p and returns what it read without
// release, or returns bytes of its own that are valid until release is called,
// by whatever goroutine. Its errors are those of a Read.
type chunkReader interface {
	ReadChunk(p []byte) (data []byte, release func(), err error)
}

// send copies object to the host until its end.
func (s *Server) send(ctx context.Context, stream grpc.ServerStream, object io.Reader) error {
	read := readInto(object)
	if r, ok := object.(chunkReader); ok {
		read = r.ReadChunk
	}
	for empty := 0; ; empty++ {
		buffer := payloads.Get(ChunkSize)
		data, release, err := read(*buffer)
		var whole mem.Buffer
		switch {
		case release != nil:
			payloads.Put(buffer)
			whole = borrowed(data, release)
		case len(data) == 0:
			payloads.Put(buffer)
			whole = mem.SliceBuffer(nil)
		default:
			*buffer = data
			whole = pooled(buffer)
		}
		if len(data) > 0 {
			empty = 0
		}
		if serr := s.sendAll(ctx, stream, whole); serr != nil {
			return serr
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case empty >= maxEmptyReads:
			return io.ErrNoProgress
		}
	}
}

// readInto reads from r until the buffer is full.
func readInto(r io.Reader) func(p []byte) ([]byte, func(), error) {
	return func(p []byte) ([]byte, func(), error) {
		n, err := readFull(r, p)
		return p[:n], nil, err
	}
}

// sendAll sends the data of a buffer in messages of ChunkSize, and gives the
// buffer up.
func (s *Server) sendAll(ctx context.Context, stream grpc.ServerStream, whole mem.Buffer) error {
	defer whole.Free()
	for at := 0; at < whole.Len(); at += ChunkSize {
		part := whole.Slice(at, min(at+ChunkSize, whole.Len()))
		if err := s.sendWithin(ctx, stream, &payload{part}); err != nil {
			return err
		}
	}
	return nil
}

// sendWithin sends one message and gives its data up. A send blocks while the
// host does not take what was sent before. A host that has stopped reading says
// nothing about it and closes nothing, so the time limit is the only way to free
// what the object holds. The send that is under way then ends with the stream.
func (s *Server) sendWithin(ctx context.Context, stream grpc.ServerStream, p *payload) error {
	sent := make(chan error, 1)
	go func() {
		err := stream.SendMsg(p)
		p.data.Free()
		sent <- err
	}()
	var expired <-chan time.Time
	if s.limits.Stall > 0 {
		timer := time.NewTimer(s.limits.Stall)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case err := <-sent:
		return err
	case <-expired:
		return status.Errorf(codes.DeadlineExceeded, "the host has not read the object's data for %v", s.limits.Stall)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxEmptyReads is how many reads in a row may return neither data nor error.
const maxEmptyReads = 100

// readFull reads until p is full or r ends. Unlike io.ReadFull it returns
// io.EOF together with the last bytes, and no other error than that of r.
func readFull(r io.Reader, p []byte) (n int, err error) {
	empty := 0
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if m > 0 {
			empty = 0
		} else if empty++; err == nil && empty >= maxEmptyReads {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
