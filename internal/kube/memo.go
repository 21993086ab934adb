package kube

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Lifetimes of what a memo holds.
const (
	// Fresh is how long a value is used before it is looked up again.
	Fresh = 5 * time.Minute
	// FailureFresh is how long a failed look-up is answered with its error, so
	// that not every one of thousands of items tries once more.
	FailureFresh = 10 * time.Second
	// WholeTask is longer than any backup or restore takes.
	WholeTask = 24 * time.Hour
)

// Memo looks each key up once for all who ask for it, at the same time or
// later. Its zero value is ready for use. Methods are safe for concurrent use.
//
// Keys begin with the UID of a backup or restore, so that one does not see what
// another has found. Old values are dropped as new ones come in.
type Memo[T any] struct {
	// Lifetime is how long a value is used; 0 is Fresh.
	Lifetime time.Duration

	mu      sync.Mutex
	entries map[string]*entry[T]
}

type entry[T any] struct {
	done    chan struct{} // closed when the fields below are set
	value   T
	err     error
	expires time.Time
}

// Get returns the value of a key. load is called when there is none that is
// fresh, by one caller at a time; its error is given to all who wait for it. If
// load ends because its caller is gone, the next one tries again.
func (m *Memo[T]) Get(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	for {
		e, mine := m.claim(key)
		if mine {
			m.fill(ctx, key, e, load)
			return e.value, e.err
		}
		select {
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		case <-e.done:
		}
		if !e.expires.IsZero() {
			return e.value, e.err
		}
	}
}

// claim returns the entry of a key, and whether the caller is to fill it.
func (m *Memo[T]) claim(key string) (e *entry[T], mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if e, ok := m.entries[key]; ok && !e.stale(now) {
		return e, false
	}
	for other, e := range m.entries {
		if e.stale(now) {
			delete(m.entries, other)
		}
	}
	if m.entries == nil {
		m.entries = map[string]*entry[T]{}
	}
	e = &entry[T]{done: make(chan struct{})}
	m.entries[key] = e
	return e, true
}

// fill loads the value of an entry. An entry that has no value for others, as
// the caller is gone or load has panicked, expires at the zero time.
func (m *Memo[T]) fill(ctx context.Context, key string, e *entry[T], load func(context.Context) (T, error)) {
	defer func() {
		if e.expires.IsZero() {
			m.mu.Lock()
			delete(m.entries, key)
			m.mu.Unlock()
		}
		close(e.done)
	}()
	e.value, e.err = load(ctx)
	switch {
	case e.err == nil:
		e.expires = time.Now().Add(cmp.Or(m.Lifetime, Fresh))
	case ctx.Err() == nil:
		e.expires = time.Now().Add(FailureFresh)
	}
}

// stale reports whether the entry is filled and no longer fresh.
func (e *entry[T]) stale(now time.Time) bool {
	select {
	case <-e.done:
		return !now.Before(e.expires)
	default:
		return false
	}
}
