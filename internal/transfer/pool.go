package transfer

import (
	"fmt"
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
	size  int
	limit int

	mu    sync.Mutex
	out   int      // buffers in use
	free  [][]byte // mapped, not in use; out+len(free) <= limit unless out alone exceeds it
	timer *time.Timer
}

// NewPool returns a pool of buffers of size bytes, at most limit of them shared
// by the transfers beyond the one that each upload may always have.
func NewPool(size, limit int) *Pool {
	return &Pool{size: size, limit: limit}
}

// Size returns the size of the pool's buffers in bytes.
func (p *Pool) Size() int { return p.size }

// tryGet returns a buffer, or nil when the limit is reached.
func (p *Pool) tryGet() ([]byte, error) { return p.take(p.limit) }

// get returns a buffer whatever the limit. Every upload starts with one, so that
// uploads that wait for their sources cannot starve others.
func (p *Pool) get() ([]byte, error) { return p.take(int(^uint(0) >> 1)) }

func (p *Pool) take(limit int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.out >= limit {
		return nil, nil
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

// shrink unmaps the free buffers at once, to make room for something larger.
func (p *Pool) shrink() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseFree()
}
