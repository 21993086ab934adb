package kube

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
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

	loading sharedwork.Group[string, T]

	mu      sync.Mutex
	entries map[string]*entry[T]
}

type entry[T any] struct {
	value   T
	err     error
	loaded  time.Time
	expires time.Time
}

// Get returns the value of a key. load is called when there is none that is
// fresh, by one caller at a time; its error is given to all who wait for it. If
// load ends because its caller is gone, or with a transient error, the next one
// tries again.
func (m *Memo[T]) Get(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	if e := m.fresh(key); e != nil {
		return e.value, e.err
	}
	value, _, err := m.loading.Do(ctx, key, func(ctx context.Context) (T, bool, error) {
		if e := m.fresh(key); e != nil { // of somebody who has ended meanwhile
			return e.value, true, e.err
		}
		return m.load(ctx, key, load)
	})
	return value, err
}

// load looks a key up and keeps what others may use, too.
func (m *Memo[T]) load(ctx context.Context, key string, load func(context.Context) (T, error)) (value T, shared bool, err error) {
	last := m.usable(key)
	value, err = load(ctx)
	now := time.Now()
	e := &entry[T]{value: value, err: err, loaded: now, expires: now.Add(FailureFresh)}
	switch {
	case err == nil:
		e.expires = now.Add(cmp.Or(m.Lifetime, Fresh))
	case ctx.Err() != nil:
		return value, false, err
	case !IsTransient(err):
	case last != nil:
		slog.Warn("the cluster cannot be asked, and what it answered before is used", "error", err)
		e.value, e.err, e.loaded = last.value, nil, last.loaded
	default:
		return value, false, err
	}
	m.keep(key, e)
	return e.value, true, e.err
}

// keep stores an entry, and drops those that serve nobody any more.
func (m *Memo[T]) keep(key string, e *entry[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other, old := range m.entries {
		if now := time.Now(); !old.isFresh(now) && !old.isUsable(now) {
			delete(m.entries, other)
		}
	}
	if m.entries == nil {
		m.entries = map[string]*entry[T]{}
	}
	m.entries[key] = e
}

// fresh returns the entry of a key, or nil if the key has to be looked up.
func (m *Memo[T]) fresh(key string) *entry[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil && e.isFresh(time.Now()) {
		return e
	}
	return nil
}

// usable returns the entry of a key that may serve while the key cannot be looked up
// again, or nil.
func (m *Memo[T]) usable(key string) *entry[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil && e.isUsable(time.Now()) {
		return e
	}
	return nil
}

func (e *entry[T]) isFresh(now time.Time) bool { return now.Before(e.expires) }

func (e *entry[T]) isUsable(now time.Time) bool {
	return e.err == nil && now.Before(e.loaded.Add(Usable))
}
