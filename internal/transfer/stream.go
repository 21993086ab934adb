package transfer

import (
	"context"
	"fmt"
	"io"
	"time"
)

// maxTries is how often a body is opened again without a byte of progress.
const maxTries = 3

// stream reads one range of an object in order and opens the body again where it
// broke.
type stream struct {
	ctx    context.Context
	object *object
	off    int64 // of the next byte
	end    int64 // of the range; -1 when it is not known, then the body's end counts
	body   *Body // nil: to be opened
	tries  int   // failures since the last byte
	pace   pace
}

// pace is how fast bodies deliver when they are waited for.
type pace struct {
	bytes  int64
	waited time.Duration
}

// Pace is judged by so much of a body, and anew by each further piece.
const (
	paceBytes = 1 << 20
	paceTime  = 20 * time.Millisecond
)

func (p *pace) add(n int, waited time.Duration) {
	if p.bytes >= paceBytes || p.waited >= paceTime {
		*p = pace{}
	}
	p.bytes += int64(n)
	p.waited += waited
}

// atLeast reports whether the pace reaches rate, in bytes per second, or is not
// known yet.
func (p pace) atLeast(rate float64) bool {
	if p.bytes < paceBytes && p.waited < paceTime {
		return true
	}
	return float64(p.bytes) >= rate*p.waited.Seconds()
}

// Read implements io.Reader. It never returns 0 bytes without an error.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.off == s.end {
			return 0, io.EOF
		}
		if s.body == nil {
			if err := s.reopen(); err != nil {
				return 0, err
			}
			continue
		}
		if s.end >= 0 && int64(len(p)) > s.end-s.off {
			p = p[:s.end-s.off]
		}
		start := time.Now()
		n, err := s.body.Read(p)
		s.pace.add(n, time.Since(start))
		s.off += int64(n)
		if err == io.EOF && s.end < 0 {
			s.end = s.off
		}
		if n > 0 {
			s.tries = 0
			return n, nil
		}
		if err == nil || s.off == s.end {
			continue
		}
		if err := s.retry(err); err != nil {
			return 0, err
		}
	}
}

// retry prepares for another body after cause, or says why not.
func (s *stream) retry(cause error) error {
	s.close()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF
	}
	if s.end < 0 {
		return fmt.Errorf("the connection broke at byte %d of an object of unknown size: %w", s.off, cause)
	}
	s.tries++
	if s.tries > maxTries {
		return fmt.Errorf("the connection broke at byte %d, also after %d more attempts: %w", s.off, maxTries, cause)
	}
	select {
	case <-time.After(time.Duration(s.tries*s.tries) * 100 * time.Millisecond):
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// reopen opens a body that continues at s.off. When the body breaks at once it
// leaves s.body nil, for another try.
func (s *stream) reopen() error {
	body, err := s.object.open(s.ctx, Range{s.off, s.end - s.off}, s.object.version)
	if err != nil {
		return err
	}
	if err := s.object.matches(body); err != nil {
		body.Close()
		return err
	}
	s.body = body
	if body.Offset > s.off {
		s.close()
		return fmt.Errorf("the store sent byte %d instead of %d", body.Offset, s.off)
	}
	if _, err := io.CopyN(io.Discard, body, s.off-body.Offset); err != nil {
		return s.retry(err)
	}
	return nil
}

// matches returns an error unless a body belongs to the object as it was first
// seen. A body whose version is lost on the way could be of another one.
func (o *object) matches(b *Body) error {
	if o.version != "" && o.version != b.Version {
		return ErrChanged
	}
	if o.size >= 0 && b.Size >= 0 && o.size != b.Size {
		return ErrChanged
	}
	return nil
}

func (s *stream) close() {
	if s.body != nil {
		s.body.Close()
		s.body = nil
	}
}
