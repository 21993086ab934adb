package server

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A process without calls ends after the limit. A call in progress keeps it,
// however long it takes.
func TestIdleExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(slog.New(slog.DiscardHandler), Limits{Idle: 30 * time.Minute})
		s.lastCall.Store(time.Now().UnixNano())
		go s.watch(make(chan struct{}), make(chan os.Signal))
		_, endCall := s.context(context.Background())
		time.Sleep(5 * time.Hour)
		if s.running.Err() != nil {
			t.Fatalf("the process ends during a call: %v", context.Cause(s.running))
		}
		endCall()
		time.Sleep(29 * time.Minute)
		if s.running.Err() != nil {
			t.Fatal("the process ends before the limit")
		}
		time.Sleep(5 * time.Minute)
		if context.Cause(s.running) != errIdle {
			t.Errorf("the process ends with %v", context.Cause(s.running))
		}
	})
}
