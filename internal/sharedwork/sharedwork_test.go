package sharedwork_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// All who ask while the work is done get its result, an error as well.
func TestDoShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g sharedwork.Group[string, int]
		var calls, own atomic.Int32
		failure := errors.New("refused")
		release := make(chan struct{})
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				value, mine, err := g.Do(t.Context(), "k", func(context.Context) (int, bool, error) {
					<-release
					return int(calls.Add(1)), true, failure
				})
				if value != 1 || err != failure {
					t.Errorf("%d, %v", value, err)
				}
				if mine {
					own.Add(1)
				}
			})
		}
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, _, err := g.Do(gone, "k", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that is gone waits: %v", err)
		}
		close(release)
		callers.Wait()
		if own.Load() != 1 {
			t.Errorf("%d callers worked", own.Load())
		}
		if value, mine, _ := g.Do(t.Context(), "k", func(context.Context) (int, bool, error) { return 7, true, nil }); value != 7 || !mine {
			t.Errorf("after the end: %d, %t", value, mine)
		}
	})
}

// Work that ends with its caller, or in a panic, is done by another one in turn.
func TestDoHandsOver(t *testing.T) {
	for name, work := range map[string]func(context.Context) (int, bool, error){
		"end of the caller": func(ctx context.Context) (int, bool, error) { <-ctx.Done(); return 0, false, ctx.Err() },
		"panic":             func(ctx context.Context) (int, bool, error) { <-ctx.Done(); panic("x") },
	} {
		synctest.Test(t, func(t *testing.T) {
			var g sharedwork.Group[string, int]
			ctx, cancel := context.WithCancel(t.Context())
			var callers sync.WaitGroup
			callers.Go(func() {
				defer func() { _ = recover() }()
				_, _, _ = g.Do(ctx, "k", work)
			})
			synctest.Wait()
			var calls atomic.Int32
			for range 3 {
				callers.Go(func() {
					value, _, err := g.Do(t.Context(), "k", func(context.Context) (int, bool, error) { return int(calls.Add(1)), true, nil })
					if err != nil || value == 0 {
						t.Errorf("%s: %d, %v", name, value, err)
					}
				})
			}
			synctest.Wait()
			cancel()
			callers.Wait()
		})
	}
}

// Detached work outlives the caller that began it, while somebody waits for it.
func TestDoDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o sharedwork.Once[string, int]
		release, ended := make(chan struct{}), atomic.Bool{}
		work := func(ctx context.Context) (int, error) {
			select {
			case <-release:
				return 1, nil
			case <-ctx.Done():
				ended.Store(true)
				return 0, ctx.Err()
			}
		}
		begin := func() (leave func(), wait func() error) {
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				_, _, err := o.Do(ctx, "k", work)
				result <- err
			}()
			synctest.Wait()
			return cancel, func() error { return <-result }
		}

		leave, wait := begin()
		leave()
		if err := wait(); !errors.Is(err, context.Canceled) || !ended.Load() {
			t.Errorf("the only caller has left: %v; the work has ended: %t", err, ended.Load())
		}

		ended.Store(false)
		leaveFirst, waitFirst := begin()
		leaveSecond, waitSecond := begin()
		defer leaveSecond()
		if n := o.Waiting("k"); n != 2 {
			t.Errorf("%d callers wait", n)
		}
		leaveFirst()
		if err := waitFirst(); !errors.Is(err, context.Canceled) || ended.Load() {
			t.Errorf("the first caller has left: %v; the work has ended: %t", err, ended.Load())
		}
		close(release)
		if err := waitSecond(); err != nil {
			t.Errorf("the second caller: %v", err)
		}
		value, own, err := o.Do(t.Context(), "k", func(context.Context) (int, error) { return 2, nil })
		if value != 1 || own || err != nil {
			t.Errorf("later: %d, %t, %v", value, own, err)
		}
	})
}

// A failure is told to the caller whose work it was; a panic as well, and it ends
// neither the process nor the others.
func TestDoDetachedFails(t *testing.T) {
	for name, fail := range map[string]func() (int, error){
		"error": func() (int, error) { return 0, errors.New("broken") },
		"panic": func() (int, error) { panic("broken") },
	} {
		synctest.Test(t, func(t *testing.T) {
			var o sharedwork.Once[string, int]
			release := make(chan struct{})
			var callers sync.WaitGroup
			callers.Go(func() {
				defer func() {
					if r := recover(); (r != nil) != (name == "panic") {
						t.Errorf("%s: panic %v", name, r)
					}
				}()
				if _, own, err := o.Do(t.Context(), "k", func(context.Context) (int, error) { <-release; return fail() }); !own || err == nil {
					t.Errorf("%s: %t, %v", name, own, err)
				}
			})
			synctest.Wait()
			callers.Go(func() {
				if value, own, err := o.Do(t.Context(), "k", func(context.Context) (int, error) { return 3, nil }); value != 3 || !own || err != nil {
					t.Errorf("%s: the one who waited: %d, %t, %v", name, value, own, err)
				}
			})
			synctest.Wait()
			close(release)
			callers.Wait()
		})
	}
}
