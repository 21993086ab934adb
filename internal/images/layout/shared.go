package layout

import (
	"context"
	"sync"
)

// shared does each of several things once for all who ask for it, at the same
// time or later. Its methods are safe for concurrent use.
type shared[K comparable, T any] struct {
	mu       sync.Mutex
	done     map[K]T
	attempts map[K]*attempt[T]
}

func newShared[K comparable, T any]() *shared[K, T] {
	return &shared[K, T]{done: map[K]T{}, attempts: map[K]*attempt[T]{}}
}

// attempt is work that goes on as long as somebody waits for it. The group of
// golang.org/x/sync/singleflight ends all callers when the context of the first one
// ends, and keeps no results; so it does not serve here.
type attempt[T any] struct {
	cancel  context.CancelFunc
	waiting int           // guarded by shared.mu
	ended   chan struct{} // closed when the fields below are set
	value   T
	err     error
}

// do returns what work returned when it last succeeded for the key, and whether
// this very call has called it. One caller's end does not fail the others. A
// failure is that of the caller whose work it was; those who waited for it try
// by themselves.
func (s *shared[K, T]) do(ctx context.Context, key K, work func(context.Context) (T, error)) (value T, mine bool, err error) {
	for {
		s.mu.Lock()
		if value, ok := s.done[key]; ok {
			s.mu.Unlock()
			return value, false, nil
		}
		a, joined := s.attempts[key]
		if !joined {
			a = s.begin(ctx, key, work)
		}
		a.waiting++
		s.mu.Unlock()

		select {
		case <-a.ended:
			if a.err == nil || !joined {
				return a.value, !joined, a.err
			}
		case <-ctx.Done():
			s.leave(key, a)
			return value, !joined, context.Cause(ctx)
		}
	}
}

// begin starts an attempt. The mutex is held.
func (s *shared[K, T]) begin(ctx context.Context, key K, work func(context.Context) (T, error)) *attempt[T] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &attempt[T]{cancel: cancel, ended: make(chan struct{})}
	s.attempts[key] = a
	go func() {
		defer cancel()
		a.value, a.err = work(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.err == nil {
			s.done[key] = a.value
		}
		s.drop(key, a)
		close(a.ended)
	}()
	return a
}

// leave takes a caller out. With the last one the attempt is given up, and its
// end is waited for, so that nothing of it goes on behind the caller's back.
func (s *shared[K, T]) leave(key K, a *attempt[T]) {
	s.mu.Lock()
	a.waiting--
	last := a.waiting == 0
	if last {
		s.drop(key, a)
	}
	s.mu.Unlock()
	if last {
		a.cancel()
		<-a.ended
	}
}

// drop lets the next caller begin anew. The mutex is held.
func (s *shared[K, T]) drop(key K, a *attempt[T]) {
	if s.attempts[key] == a {
		delete(s.attempts, key)
	}
}
