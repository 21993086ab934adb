package registry

import (
	"context"
	"sync"
)

// inFlight lets those who ask for the same work at the same time share it. When the
// context of the caller that does the work ends, another one takes over, which
// golang.org/x/sync/singleflight cannot do. The zero value is ready for use.
type inFlight struct {
	mu      sync.Mutex
	running map[string]*call
}

type call struct {
	done      chan struct{}
	err       error
	abandoned bool // the context of the caller that did the work has ended
}

// do does work, unless work of that key is being done: then it waits for its
// end. It reports whether it did work, and the error of whoever did.
func (f *inFlight) do(ctx context.Context, key string, work func() error) (bool, error) {
	for {
		own, other := f.join(key)
		if own != nil {
			defer f.end(key, own)
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

// join returns a new call of the caller's own, or the one that is under way.
func (f *inFlight) join(key string) (own, other *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other = f.running[key]; other != nil {
		return nil, other
	}
	if f.running == nil {
		f.running = map[string]*call{}
	}
	own = &call{done: make(chan struct{})}
	f.running[key] = own
	return own, nil
}

func (f *inFlight) end(key string, own *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, key)
	close(own.done)
}
