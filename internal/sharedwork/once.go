package sharedwork

import (
	"context"
	"sync"
	"sync/atomic"
)

// Once does each of several things once for all who ask for it, at the same time or
// later. Its zero value is ready for use, and safe for concurrent use.
type Once[K comparable, T any] struct {
	working Group[K, T]

	mu   sync.Mutex
	done map[K]T
}

// Do returns what work returned when it last succeeded for the key, and whether
// this very call has called it. The end of one caller does not fail the others, as
// with Group.DoDetached. A failure is that of the caller whose work it was; those who
// waited for it try by themselves.
func (o *Once[K, T]) Do(ctx context.Context, key K, work func(context.Context) (T, error)) (value T, own bool, err error) {
	if value, ok := o.result(key); ok {
		return value, false, nil
	}
	var worked atomic.Bool
	value, _, err = o.working.DoDetached(ctx, key, func(ctx context.Context) (T, error) {
		if value, ok := o.result(key); ok { // of somebody who has ended meanwhile
			return value, nil
		}
		worked.Store(true)
		value, err := work(ctx)
		if err == nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.done == nil {
				o.done = map[K]T{}
			}
			o.done[key] = value
		}
		return value, err
	})
	return value, worked.Load(), err
}

// Waiting returns how many callers wait for the key.
func (o *Once[K, T]) Waiting(key K) int { return o.working.Waiting(key) }

func (o *Once[K, T]) result(key K) (T, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	value, ok := o.done[key]
	return value, ok
}
