package imagecopy

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// pool keeps open what the calls of a backup or restore use together, and closes
// it when nobody has used it for a while. Its zero value is ready for use.
// Methods are safe for concurrent use.
//
// Keys begin as those of a kube.Memo do.
type pool[T any] struct {
	// Idle is how long a value stays open without users; 0 is poolIdle.
	Idle time.Duration

	mu      sync.Mutex
	entries map[string]*pooled[T]
}

const poolIdle = 10 * time.Minute

type pooled[T any] struct {
	ready     chan struct{} // closed when the fields below are set
	value     T
	close     func()
	err       error
	abandoned bool // the caller that was to open it is gone

	// Guarded by the mutex of the pool.

	users int
	timer *time.Timer // ends the entry
	told  string      // who has got the error
}

// opener opens a value; close frees it. Without a value there is nothing to
// close.
type opener[T any] func(context.Context) (value T, close func(), err error)

// use returns the value of a key, which stays open until done is called. One
// caller opens it for all; if that ends because the caller is gone, the next one
// tries again. If it fails, nobody tries again. One caller gets the error then and
// the others one that refers to it, so that it is told once: who names the caller
// for that. One without a name gets the error, too, and does not count.
func (p *pool[T]) use(ctx context.Context, key, who string, open opener[T]) (value T, done func(), err error) {
	for {
		e, mine := p.claim(key)
		if mine {
			p.fill(ctx, key, e, open)
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
		}
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case e.abandoned:
			continue
		case e.err != nil:
			err = p.tell(e, who)
		default:
			return e.value, sync.OnceFunc(func() { p.release(key, e) }), nil
		}
		p.release(key, e)
		return value, nil, err
	}
}

// claim returns the entry of a key for one more user, and whether that user is
// to fill it.
func (p *pool[T]) claim(key string) (e *pooled[T], mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.entries[key]
	if !ok {
		e = &pooled[T]{ready: make(chan struct{})}
		if p.entries == nil {
			p.entries = map[string]*pooled[T]{}
		}
		p.entries[key] = e
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.users++
	return e, !ok
}

func (p *pool[T]) fill(ctx context.Context, key string, e *pooled[T], open opener[T]) {
	e.abandoned = true // unless open returns
	defer func() {
		if e.abandoned {
			p.mu.Lock()
			delete(p.entries, key)
			p.mu.Unlock()
		}
		close(e.ready)
	}()
	e.value, e.close, e.err = open(ctx)
	e.abandoned = e.err != nil && ctx.Err() != nil
}

func (p *pool[T]) release(key string, e *pooled[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.users--; e.users > 0 || e.err != nil || p.entries[key] != e {
		return
	}
	e.timer = time.AfterFunc(cmp.Or(p.Idle, poolIdle), func() { p.end(key, e) })
}

// end forgets an entry that has no users, and closes its value.
func (p *pool[T]) end(key string, e *pooled[T]) {
	p.mu.Lock()
	unused := e.users == 0 && p.entries[key] == e
	if unused {
		delete(p.entries, key)
	}
	p.mu.Unlock()
	if unused {
		e.close()
	}
}

// tell returns the error of an entry, or one that refers to it.
func (p *pool[T]) tell(e *pooled[T], who string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.told == "" {
		e.told = who
	}
	if who == "" || e.told == who {
		return e.err
	}
	return imagesUnavailable(e.told)
}
