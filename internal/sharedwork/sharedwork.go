// Package sharedwork lets callers that ask for the same thing at the same time
// share the work for it: one of them does it, and the others get the result.
//
// golang.org/x/sync/singleflight does not serve here. The work of its group fails for
// all callers when the context of the first one ends, and a panic in it ends the
// process; a plugin has to answer the other calls of Velero in both cases.
package sharedwork

import (
	"context"
	"fmt"
	"sync"
)

// Group is work with a key for each piece. Its zero value is ready for use, and
// safe for concurrent use. It keeps no results: what was done is done again for the
// next caller that comes after the end. A group is used by Do or by DoDetached, not
// by both.
type Group[K comparable, T any] struct {
	mu      sync.Mutex
	running map[K]*piece[T]
}

// piece is work that is under way.
type piece[T any] struct {
	done chan struct{} // closed when the work has ended, after the fields below are set

	value  T
	err    error
	shared bool // those who wait get value and err; otherwise one of them works

	// Of DoDetached.
	panicked any
	cancel   context.CancelFunc
	waiting  int // callers, guarded by Group.mu
}

// Do calls work, unless that is being done for the key: then it waits for the end.
// work runs with the caller's context and says whether the others get its result,
// too. If not, since it has failed for a reason of this caller for example, one of
// them calls work in turn; so it is when work panics. own reports whether it was
// this caller that worked.
func (g *Group[K, T]) Do(ctx context.Context, key K, work func(context.Context) (value T, shared bool, err error)) (value T, own bool, err error) {
	for {
		p, mine := g.join(key)
		if mine {
			func() {
				defer g.end(key, p)
				p.value, p.shared, p.err = work(ctx)
			}()
			return p.value, true, p.err
		}
		select {
		case <-p.done:
			if p.shared {
				return p.value, false, p.err
			}
		case <-ctx.Done():
			return value, false, context.Cause(ctx)
		}
	}
}

// DoDetached is Do for work that is too long to be done again when the context of
// its caller ends. It goes on as long as one of the callers waits for it. With the
// last one its context ends, and that caller returns after it, so that nothing of
// it goes on unseen. Only a success is shared; who waited for a failure works in
// turn. A panic of work is one of the caller that began it.
func (g *Group[K, T]) DoDetached(ctx context.Context, key K, work func(context.Context) (T, error)) (value T, own bool, err error) {
	for {
		p, mine := g.joinDetached(ctx, key, work)
		select {
		case <-p.done:
			if mine && p.panicked != nil {
				panic(p.panicked)
			}
			if p.err == nil || mine {
				return p.value, mine, p.err
			}
		case <-ctx.Done():
			g.leave(key, p)
			return value, mine, context.Cause(ctx)
		}
	}
}

// join returns the piece of a key, and whether the caller is to do it.
func (g *Group[K, T]) join(key K) (p *piece[T], mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p = g.running[key]; p != nil {
		return p, false
	}
	return g.add(key), true
}

// add begins a piece. The mutex is held.
func (g *Group[K, T]) add(key K) *piece[T] {
	if g.running == nil {
		g.running = map[K]*piece[T]{}
	}
	p := &piece[T]{done: make(chan struct{})}
	g.running[key] = p
	return p
}

// end lets the next caller begin anew, and those who wait look at the result.
func (g *Group[K, T]) end(key K, p *piece[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[key] == p {
		delete(g.running, key)
	}
	close(p.done)
}

func (g *Group[K, T]) joinDetached(ctx context.Context, key K, work func(context.Context) (T, error)) (p *piece[T], mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p = g.running[key]; p == nil {
		p, mine = g.add(key), true
		ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go func() {
			defer p.cancel()
			defer g.end(key, p)
			defer func() {
				if p.panicked = recover(); p.panicked != nil {
					p.err = fmt.Errorf("panic: %v", p.panicked)
				}
			}()
			p.value, p.err = work(ctx)
		}()
	}
	p.waiting++
	return p, mine
}

// leave takes a caller out. After the last one the next caller begins anew.
func (g *Group[K, T]) leave(key K, p *piece[T]) {
	g.mu.Lock()
	p.waiting--
	last := p.waiting == 0
	if last && g.running[key] == p {
		delete(g.running, key)
	}
	g.mu.Unlock()
	if last {
		p.cancel()
		<-p.done
	}
}

// Waiting returns how many callers of DoDetached wait for the key.
func (g *Group[K, T]) Waiting(key K) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.running[key]; p != nil {
		return p.waiting
	}
	return 0
}
