package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// Pauses double up to their limit, and a pause that the server asks for counts.
func TestAttempts(t *testing.T) {
	failure := errors.New("failure")
	var pauses []time.Duration
	attempts := endpoint.Attempts{
		Most:       func(error) int { return 5 },
		FirstPause: time.Second,
		MaxPause:   3 * time.Second,
		Sleep: func(_ context.Context, d time.Duration) error {
			pauses = append(pauses, d)
			return nil
		},
	}
	done := 0
	if err := attempts.Do(t.Context(), func() error { done++; return failure }); !errors.Is(err, failure) || done != 5 {
		t.Errorf("%d attempts, %v", done, err)
	}
	for i, nominal := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if pauses[i] < nominal*3/4 || pauses[i] > nominal*5/4 {
			t.Errorf("pause %d: %v", i, pauses[i])
		}
	}
	pauses, done = nil, 0
	attempts.Throttle = &endpoint.Throttle{}
	attempts.Throttle.Note(&http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}})
	if err := attempts.Do(t.Context(), func() error {
		if done++; done == 1 {
			return failure
		}
		return nil
	}); err != nil || len(pauses) != 1 || pauses[0] < 19*time.Second || pauses[0] > 20*time.Second {
		t.Errorf("pauses %v, %v", pauses, err)
	}
	attempts.Most = func(error) int { return 1 }
	if err := attempts.Do(t.Context(), func() error { done++; return failure }); !errors.Is(err, failure) || len(pauses) != 1 {
		t.Errorf("final error: pauses %v, %v", pauses, err)
	}
}

// Attempts end with their context.
func TestAttemptsCancelled(t *testing.T) {
	gone := errors.New("Velero went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	attempts := endpoint.Attempts{Most: func(error) int { return 3 }, FirstPause: time.Hour, MaxPause: time.Hour}
	time.AfterFunc(10*time.Millisecond, func() { cancel(gone) })
	if err := attempts.Do(ctx, func() error { return errors.New("failure") }); !errors.Is(err, gone) {
		t.Error(err)
	}
}
