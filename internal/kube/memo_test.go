package kube_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// counter is a look-up that counts how often it is made.
type counter struct {
	n   atomic.Int32
	err error
}

func (c *counter) load(context.Context) (int32, error) { return c.n.Add(1), c.err }

func TestMemoLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memo, lookup := kube.Memo[int32]{}, counter{}
		get := func(key string, want int32) {
			t.Helper()
			if got, err := memo.Get(t.Context(), key, lookup.load); got != want || err != nil {
				t.Errorf("%d, %v, want %d", got, err, want)
			}
		}
		get("a", 1)
		get("b", 2)
		get("a", 1)
		time.Sleep(kube.Fresh - time.Nanosecond)
		get("a", 1)
		time.Sleep(time.Nanosecond)
		get("a", 3)
		get("b", 4)
	})
}

func TestMemoOfFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memo, lookup := kube.Memo[int32]{Lifetime: time.Hour}, counter{err: errors.New("refused")}
		for range 3 {
			if _, err := memo.Get(t.Context(), "a", lookup.load); err != lookup.err {
				t.Errorf("error %v", err)
			}
		}
		if n := lookup.n.Load(); n != 1 {
			t.Errorf("%d look-ups", n)
		}
		time.Sleep(kube.FailureFresh)
		lookup.err = nil
		for range 3 {
			if got, err := memo.Get(t.Context(), "a", lookup.load); got != 2 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
	})
}

// All who ask at a time get the answer to one look-up.
func TestMemoIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memo, lookup := kube.Memo[int32]{}, counter{}
		release := make(chan struct{})
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				got, err := memo.Get(t.Context(), "a", func(ctx context.Context) (int32, error) {
					<-release
					return lookup.load(ctx)
				})
				if got != 1 || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := memo.Get(ctx, "a", lookup.load); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that is gone waits: %v", err)
		}
		close(release)
		done.Wait()
	})
}

// A look-up that ended with its caller, or in a panic, leaves the next one to
// try again.
func TestMemoOfLostLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memo, lookup := kube.Memo[int32]{}, counter{}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() {
			_, err := memo.Get(ctx, "a", func(ctx context.Context) (int32, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		for range 2 {
			done.Go(func() {
				if got, err := memo.Get(t.Context(), "a", lookup.load); got != 1 || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		done.Wait()

		func() {
			defer func() { _ = recover() }()
			_, _ = memo.Get(t.Context(), "b", func(context.Context) (int32, error) { panic("x") })
		}()
		if got, err := memo.Get(t.Context(), "b", lookup.load); got != 2 || err != nil {
			t.Errorf("after a panic: %d, %v", got, err)
		}
	})
}

// A look-up that fails for a moment is made again by the next caller, and an
// answer that is there serves meanwhile. Only a refusal is kept.
func TestMemoOfTransientFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
		memo, lookup := kube.Memo[int32]{}, counter{err: down}
		if _, err := memo.Get(t.Context(), "a", lookup.load); !errors.Is(err, down) {
			t.Errorf("error %v", err)
		}
		lookup.err = nil
		if got, err := memo.Get(t.Context(), "a", lookup.load); got != 2 || err != nil {
			t.Errorf("after the failure: %d, %v", got, err)
		}
		lookup.err = down
		time.Sleep(kube.Fresh)
		for range 3 { // one look-up for all of them
			if got, err := memo.Get(t.Context(), "a", lookup.load); got != 2 || err != nil {
				t.Errorf("while it fails: %d, %v", got, err)
			}
		}
		if n := lookup.n.Load(); n != 3 {
			t.Errorf("%d look-ups", n)
		}
		time.Sleep(kube.Usable)
		if _, err := memo.Get(t.Context(), "a", lookup.load); !errors.Is(err, down) {
			t.Errorf("with a value that is too old: %v", err)
		}
		lookup.err = nil
		if got, err := memo.Get(t.Context(), "a", lookup.load); got != 5 || err != nil {
			t.Errorf("at last: %d, %v", got, err)
		}
	})
}
