// Package inject makes the faults of servers and networks in the fakes: requests
// that are lost, answers that break off, connections that stand still. A fake
// embeds Faults, and has faults of its own only for errors in the form of its
// service.
//
//	cloud.Inject(2, awsfake.Actions("CreateSnapshot"), inject.LoseAnswer())
package inject

import (
	"context"
	"net/http"
	"sync"
)

// Fault happens to a request in place of, before or while the service answers
// it. Its context ends when the client gives up and when the fake ends.
type Fault func(w http.ResponseWriter, r *http.Request, service http.Handler)

// Always as the number of times makes a fault happen to every call that matches.
const Always = -1

// Faults are the faults that are yet to happen to the calls of a fake. C is what
// the fake makes of a request, such as the name and the values of an action. The
// zero value is ready for use, and safe for concurrent use.
type Faults[C any] struct {
	mu      sync.Mutex
	pending []*pending[C]
	end     context.CancelFunc
	ended   context.Context
}

// pending is one call of Inject.
type pending[C any] struct {
	when  func(C) bool
	times int // left; negative: always
	fault Fault
}

// Inject makes a fault happen to the next calls that match, as often as times
// says. Of several faults that match the first applies.
func (f *Faults[C]) Inject(times int, when func(C) bool, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, &pending[C]{when, times, fault})
}

// Heal drops all faults that are yet to happen.
func (f *Faults[C]) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = nil
}

// End releases the requests that faults hold. A fake calls it before it closes
// its server, which waits for them.
func (f *Faults[C]) End() {
	f.life()
	f.end()
}

// Serve answers a request: by the fault that happens to the call, or else by the
// service.
func (f *Faults[C]) Serve(w http.ResponseWriter, r *http.Request, call C, service http.Handler) {
	fault := f.next(call)
	if fault == nil {
		service.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.life(), cancel)()
	fault(w, r.WithContext(ctx), service)
}

// next takes the fault that happens to a call, or returns nil.
func (f *Faults[C]) next(call C) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pending {
		if p.times != 0 && p.when(call) {
			p.times--
			return p.fault
		}
	}
	return nil
}

// life returns a context that is over after End.
func (f *Faults[C]) life() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended == nil {
		f.ended, f.end = context.WithCancel(context.Background())
	}
	return f.ended
}
