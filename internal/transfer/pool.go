package transfer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// idleTime is how long free buffers stay mapped after the last transfer. It
// spans the pause between the objects of one backup.
const idleTime = 5 * time.Second

// Pool hands out buffers of one size to any number of concurrent transfers. It
// is safe for concurrent use. It runs no goroutine of its own, and gives its
// memory back some seconds after the last transfer has ended.
type Pool struct {
	size   int
	limit  int
	strict bool // no upload has a buffer beyond the limit

	mu      sync.Mutex
	out     int           // buffers in use
	free    [][]byte      // mapped, not in use; out+len(free) <= limit unless out alone exceeds it
	waiting []chan []byte // uploads without a buffer, in the order of their arrival
	timer   *time.Timer
}

// NewPool returns a pool of buffers of size bytes, at most limit of them shared
// by the transfers beyond the one that each upload may always have.
func NewPool(size, limit int) *Pool {
	return &Pool{size: size, limit: limit}
}

// NewStrictPool returns a pool of limit buffers of size bytes. Uploads wait until
// they have one, so their bodies must not wait for each other. The last buffer is
// for them, and those that have several give what they can to those that wait.
func NewStrictPool(size, limit int) *Pool {
	return &Pool{size: size, limit: limit, strict: true}
}

// Size returns the size of the pool's buffers in bytes.
func (p *Pool) Size() int { return p.size }

// Free unmaps the buffers that are not in use.
func (p *Pool) Free() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseFree()
}

// tryGet returns a buffer, or nil when the limit is reached.
func (p *Pool) tryGet() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limit
	if p.strict {
		limit-- // for the next upload
	}
	if p.out >= limit {
		return nil, nil
	}
	return p.take()
}

// get returns the first buffer of an upload. Without a strict limit there always
// is one, so that uploads that wait for their sources cannot starve others.
func (p *Pool) get(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	if !p.strict || p.out < p.limit {
		defer p.mu.Unlock()
		return p.take()
	}
	turn := make(chan []byte, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case b := <-turn:
		return b, nil
	case <-ctx.Done():
		p.leave(turn)
		return nil, context.Cause(ctx)
	}
}

// leave takes an upload out of those that wait.
func (p *Pool) leave(turn chan []byte) {
	p.mu.Lock()
	p.waiting = slices.DeleteFunc(p.waiting, func(c chan []byte) bool { return c == turn })
	p.mu.Unlock()
	select {
	case b := <-turn: // it came meanwhile
		p.put(b)
	default:
	}
}

// wanted reports whether an upload waits for a buffer.
func (p *Pool) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

// take returns a buffer whatever the limit. p.mu is held.
func (p *Pool) take() ([]byte, error) {
	if p.timer != nil {
		p.timer.Stop()
	}
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		p.out++
		return b, nil
	}
	b, err := allocate(p.size)
	if err != nil {
		return nil, fmt.Errorf("error allocating a buffer of %d bytes: %w", p.size, err)
	}
	p.out++
	return b, nil
}

// put gives a buffer back. The caller must not touch it any more.
func (p *Pool) put(b []byte) {
	b = b[:cap(b)]
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.waiting[0] <- b
		p.waiting = p.waiting[1:]
		return
	}
	p.out--
	if p.out+len(p.free) >= p.limit {
		release(b)
	} else {
		p.free = append(p.free, b)
	}
	if p.out > 0 {
		return
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTime, p.trim)
	} else {
		p.timer.Reset(idleTime)
	}
}

// trim unmaps all free buffers, unless a transfer has begun meanwhile.
func (p *Pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out > 0 {
		return
	}
	p.releaseFree()
}

// releaseFree unmaps the free buffers. p.mu is held.
func (p *Pool) releaseFree() {
	for _, b := range p.free {
		release(b)
	}
	p.free = nil
}
