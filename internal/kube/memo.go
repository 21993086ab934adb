package kube

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"
)

// Lifetimes of what a memo holds.
const (
	// Fresh is how long a value is used before it is looked up again.
	Fresh = 5 * time.Minute
	// Usable is how long the last value serves while it cannot be looked up again.
	Usable = time.Hour
	// FailureFresh is how long a refused look-up is answered with its error, so
	// that not every one of thousands of items tries once more.
	FailureFresh = 10 * time.Second
	// WholeTask is longer than any backup or restore takes.
	WholeTask = 24 * time.Hour
)

// Memo looks each key up once for all who ask for it, at the same time or
// later. Its zero value is ready for use. Methods are safe for concurrent use.
//
// Only an answer is kept as an error: a look-up that fails since the API server
// is down or overloaded (IsTransient) is made again by the next caller, and the
// last value serves meanwhile, if there is one.
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
	last *entry[T]     // holds the last value while this entry is filled, or nil
	done chan struct{} // closed when the fields below are set

	value   T
	err     error
	loaded  time.Time
	expires time.Time // zero: there is nothing for other callers
}

// Get returns the value of a key. load is called when there is none that is
// fresh, by one caller at a time; its error is given to all who wait for it. If
// load ends because its caller is gone, or with a transient error, the next one
// tries again.
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
	old, ok := m.entries[key]
	if ok && !old.stale(now) {
		return old, false
	}
	for other, e := range m.entries {
		if e.stale(now) && !e.usable(now) {
			delete(m.entries, other)
		}
	}
	if m.entries == nil {
		m.entries = map[string]*entry[T]{}
	}
	e = &entry[T]{done: make(chan struct{})}
	if ok && old.usable(now) {
		e.last = old
	}
	m.entries[key] = e
	return e, true
}

// fill loads the value of an entry. An entry that has nothing for other callers,
// as the caller is gone, load has panicked or the error is transient, expires at
// the zero time. The last value then takes its place.
func (m *Memo[T]) fill(ctx context.Context, key string, e *entry[T], load func(context.Context) (T, error)) {
	defer func() {
		if e.expires.IsZero() {
			m.mu.Lock()
			delete(m.entries, key)
			if e.last != nil {
				m.entries[key] = e.last
			}
			m.mu.Unlock()
		}
		e.last = nil
		close(e.done)
	}()
	e.value, e.err = load(ctx)
	e.loaded = time.Now()
	switch {
	case e.err == nil:
		e.expires = e.loaded.Add(cmp.Or(m.Lifetime, Fresh))
	case ctx.Err() != nil:
	case !IsTransient(e.err):
		e.expires = e.loaded.Add(FailureFresh)
	case e.last != nil:
		slog.Warn("the cluster cannot be asked, and what it answered before is used", "error", e.err)
		e.value, e.err, e.loaded = e.last.value, nil, e.last.loaded
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

// usable reports whether the entry has a value that may serve while it cannot be
// looked up again.
func (e *entry[T]) usable(now time.Time) bool {
	select {
	case <-e.done:
		return e.err == nil && now.Before(e.loaded.Add(Usable))
	default:
		return false
	}
}
