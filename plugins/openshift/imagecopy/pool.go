package imagecopy

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// pool keeps open what the calls of a backup or restore use together, and closes
// it when nobody has used it for a while. Its zero value is ready for use.
// Methods are safe for concurrent use.
//
// Keys begin as those of a kube.Memo do.
type pool[T any] struct {
	// Idle is how long a value stays open without users; 0 is poolIdle.
	Idle time.Duration

	opening sharedwork.Group[string, struct{}]

	mu      sync.Mutex
	entries map[string]*pooled[T]
}

const poolIdle = 10 * time.Minute

type pooled[T any] struct {
	value T
	close func()
	err   error

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
		if e := p.take(key); e != nil {
			if err := p.errorFor(ctx, e, who); err != nil {
				p.release(key, e)
				return value, nil, err
			}
			return e.value, sync.OnceFunc(func() { p.release(key, e) }), nil
		}
		_, _, err := p.opening.Do(ctx, key, func(ctx context.Context) (none struct{}, shared bool, err error) {
			shared, err = p.fill(ctx, key, open)
			return none, shared, err
		})
		if err != nil {
			return value, nil, err
		}
	}
}

// take returns the entry of a key for one more user, or nil.
func (p *pool[T]) take(key string) *pooled[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[key]
	if e == nil {
		return nil
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.users++
	return e
}

// fill opens the value of a key unless somebody has done so meanwhile. filled is
// false, with an error, when that ended with its caller.
func (p *pool[T]) fill(ctx context.Context, key string, open opener[T]) (filled bool, err error) {
	if p.has(key) {
		return true, nil
	}
	e := &pooled[T]{}
	e.value, e.close, e.err = open(ctx)
	if e.err != nil && ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries == nil {
		p.entries = map[string]*pooled[T]{}
	}
	p.entries[key] = e
	p.closeWhenIdle(key, e)
	return true, nil
}

func (p *pool[T]) has(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[key] != nil
}

// errorFor returns why a caller cannot use an entry, or nil.
func (p *pool[T]) errorFor(ctx context.Context, e *pooled[T], who string) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case e.err != nil:
		return p.tell(e, who)
	}
	return nil
}

func (p *pool[T]) release(key string, e *pooled[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.users--; e.users == 0 && p.entries[key] == e {
		p.closeWhenIdle(key, e)
	}
}

// closeWhenIdle ends an entry without users after a while, unless it is taken before. An
// error stays. The mutex is held.
func (p *pool[T]) closeWhenIdle(key string, e *pooled[T]) {
	if e.err == nil {
		e.timer = time.AfterFunc(cmp.Or(p.Idle, poolIdle), func() { p.end(key, e) })
	}
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
