package imagecopy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is opened is shared while it has users, and closed when it has had none
// for a while.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool[int]
		var opened, closed atomic.Int32
		open := func(context.Context) (int, func(), error) {
			time.Sleep(time.Second)
			return int(opened.Add(1)), func() { closed.Add(1) }, nil
		}
		var users sync.WaitGroup
		for range 20 {
			users.Go(func() {
				value, done, err := p.use(t.Context(), "k", "a", open)
				if value != 1 || err != nil {
					t.Errorf("%d, %v", value, err)
				}
				time.Sleep(3 * poolIdle)
				done()
				done()
			})
		}
		users.Wait()
		time.Sleep(poolIdle / 2)
		_, done, _ := p.use(t.Context(), "k", "a", open)
		done()
		time.Sleep(poolIdle - time.Second)
		if opened.Load() != 1 || closed.Load() != 0 {
			t.Errorf("opened %d, closed %d before the pool is idle", opened.Load(), closed.Load())
		}
		time.Sleep(2 * time.Second)
		if closed.Load() != 1 || len(p.entries) != 0 {
			t.Errorf("closed %d, entries %d of an idle pool", closed.Load(), len(p.entries))
		}
		value, done, err := p.use(t.Context(), "k", "a", open)
		if value != 2 || err != nil {
			t.Errorf("opened again: %d, %v", value, err)
		}
		done()
	})
}

// A failure is tried once and told in full once.
func TestPoolFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool[int]
		failure := errors.New("no credential")
		tried := 0
		open := func(context.Context) (int, func(), error) { tried++; return 0, nil, failure }
		if _, _, err := p.use(t.Context(), "k", "", open); !errors.Is(err, failure) {
			t.Errorf("without a name: %v", err)
		}
		if _, _, err := p.use(t.Context(), "k", "a", open); !errors.Is(err, failure) {
			t.Errorf("a: %v", err)
		}
		time.Sleep(time.Hour)
		if _, _, err := p.use(t.Context(), "k", "b", open); !errors.Is(err, CodeImagesUnavailable) || err.Error() != imagesUnavailable("a").Error() {
			t.Errorf("b: %v", err)
		}
		if _, _, err := p.use(t.Context(), "k", "a", open); !errors.Is(err, failure) {
			t.Errorf("a again: %v", err)
		}
		if tried != 1 {
			t.Errorf("tried %d times", tried)
		}
		if _, _, err := p.use(t.Context(), "other", "b", open); !errors.Is(err, failure) {
			t.Errorf("another key: %v", err)
		}
	})
}

// A caller that goes away, or panics, leaves the work to the next one.
func TestPoolAbandoned(t *testing.T) {
	var p pool[int]
	gone, leave := context.WithCancel(t.Context())
	started := make(chan struct{})
	go func() {
		_, _, err := p.use(gone, "k", "a", func(ctx context.Context) (int, func(), error) {
			close(started)
			<-ctx.Done()
			return 0, nil, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the one that is gone: %v", err)
		}
	}()
	<-started
	var waiter sync.WaitGroup
	waiter.Go(func() {
		value, done, err := p.use(t.Context(), "k", "b", func(context.Context) (int, func(), error) { return 7, func() {}, nil })
		if value != 7 || err != nil {
			t.Errorf("the next one: %d, %v", value, err)
		}
		done()
	})
	leave()
	waiter.Wait()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, _, _ = p.use(t.Context(), "panic", "a", func(context.Context) (int, func(), error) { panic("x") })
	}()
	if _, _, err := p.use(t.Context(), "panic", "b", func(context.Context) (int, func(), error) { return 1, func() {}, nil }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}
