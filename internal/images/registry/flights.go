package registry

import (
	"context"
	"sync"
)

// flights lets those who ask for the same work at the same time share it. The
// zero value is ready.
type flights struct {
	mu      sync.Mutex
	running map[string]*flight
}

type flight struct {
	done      chan struct{}
	err       error
	abandoned bool // whoever did it went away before its end
}

// do does work, unless work of that key is being done: then it waits for its
// end. It reports whether it did work, and the error of whoever did.
func (f *flights) do(ctx context.Context, key string, work func() error) (bool, error) {
	for {
		own, other := f.join(key)
		if own != nil {
			defer f.land(key, own)
			own.err = work()
			own.abandoned = ctx.Err() != nil
			return true, own.err
		}
		select {
		case <-other.done:
			if !other.abandoned {
				return false, other.err
			}
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// join returns a new flight of the caller's own, or the one that is under way.
func (f *flights) join(key string) (own, other *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other = f.running[key]; other != nil {
		return nil, other
	}
	if f.running == nil {
		f.running = map[string]*flight{}
	}
	own = &flight{done: make(chan struct{})}
	f.running[key] = own
	return own, nil
}

func (f *flights) land(key string, own *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, key)
	close(own.done)
}
