// Package fakecloud has what the fakes of all clouds share: time, permissions, the
// calls that arrived, the faults that happen to calls, and servers. A fake embeds
// Base:
//
//	type Cloud struct {
//		fakecloud.Base[Call]
//		...
//	}
package fakecloud

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Call is what a fake notes of a request, whatever came of it. C is the type that
// implements it.
type Call[C any] interface {
	// ActionName returns what was asked for, such as CreateSnapshot.
	ActionName() string
	// At returns the call with the time at which it arrived.
	At(now time.Time) C
}

// Base is the part that is alike in all fakes. The zero value is ready for use, and
// safe for concurrent use. Its methods may be called while a lock of the fake is
// held.
//
// The time of the fake is that of the machine plus what the test adds with Advance. So
// a test need not wait until a snapshot is complete or a token has expired.
type Base[C Call[C]] struct {
	// Inject makes a fault happen to calls.
	inject.Faults[C]

	mu      sync.Mutex
	ahead   time.Duration
	allowed []string        // actions, with * at the end for any; nil for all
	denied  map[string]bool // actions
	calls   []C
}

// Now returns the time in the cloud.
func (b *Base[C]) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.ahead)
}

// Advance lets time pass.
func (b *Base[C]) Advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead += d
}

// Sleep lets time pass in place of waiting, for code that is tested with the time
// of the cloud.
func (b *Base[C]) Sleep(ctx context.Context, d time.Duration) error {
	b.Advance(d)
	return ctx.Err()
}

// Limit allows everybody the actions of a policy or role and no others. A * at the
// end of an action stands for any text: ec2:Describe*.
func (b *Base[C]) Limit(actions ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = actions
}

// Deny takes permissions, such as ec2:CreateSnapshot or
// Microsoft.Compute/snapshots/write, from everybody.
func (b *Base[C]) Deny(actions ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied == nil {
		b.denied = map[string]bool{}
	}
	for _, action := range actions {
		b.denied[action] = true
	}
}

// Allow gives permissions back.
func (b *Base[C]) Allow(actions ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, action := range actions {
		delete(b.denied, action)
	}
}

// Allows reports whether an action is allowed.
func (b *Base[C]) Allows(action string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.denied[action] {
		return false
	}
	return b.allowed == nil || slices.ContainsFunc(b.allowed, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == action || open && strings.HasPrefix(action, prefix)
	})
}

// Calls returns the calls of an action, in order; all of them when action is empty.
func (b *Base[C]) Calls(action string) []C {
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls []C
	for _, call := range b.calls {
		if action == "" || call.ActionName() == action {
			calls = append(calls, call)
		}
	}
	return calls
}

// Forget drops the calls so far.
func (b *Base[C]) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = nil
}

// Record keeps a call, and returns it with its time.
func (b *Base[C]) Record(call C) C {
	now := b.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	call = call.At(now)
	b.calls = append(b.calls, call)
	return call
}

// Refusal is an error answer. Each service has a form of its own for it.
type Refusal struct {
	Status        int
	Code, Message string
}

// Refuse returns a refusal with a message like those of fmt.Sprintf.
func Refuse(status int, code, format string, args ...any) *Refusal {
	return &Refusal{status, code, fmt.Sprintf(format, args...)}
}

// Error implements the error interface.
func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Message) }

// RequestID is in every answer.
const RequestID = "3f0a7d2c-0000-4000-8000-00000000fa4e"
