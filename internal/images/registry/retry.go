package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/oadp-plugins/oadp-plugins/internal/stall"
)

// A request outlasts about a minute of trouble.
const (
	maxAttempts    = 7
	settleAttempts = 4 // for what was uploaded to be seen
	firstPause     = time.Second
	maxPause       = 30 * time.Second
)

// attempt does work until it succeeds, fails for good, or has failed too often.
// what says what it does: "error reading ...".
func (c *Client) attempt(ctx context.Context, what string, work func() error) error {
	delay := firstPause
	for tries := 1; ; tries++ {
		err := work()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		failure := c.explain(what, err)
		if tries >= attempts(err) {
			return failure
		}
		wait := max(jitter(delay), c.wire.throttle.rest())
		delay = min(2*delay, maxPause)
		c.log.Info("a request to the registry failed and is repeated", "attempt", tries, "pause", wait.String(), "error", failure.Error())
		if err := c.pause(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// jitter spreads what failed together.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempts returns how often work that fails with this error is done.
func attempts(err error) int {
	var (
		answer       *transport.Error
		verification *tls.CertificateVerificationError
	)
	switch {
	case isFinal(err):
		return 1
	case errors.As(err, &answer):
		switch {
		case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented:
			return maxAttempts
		case hasCode(answer, transport.BlobUnknownErrorCode, transport.ManifestBlobUnknownErrorCode, transport.BlobUploadUnknownErrorCode):
			return settleAttempts
		}
		return 1
	case errors.As(err, &verification), isNotTLS(err):
		return 1
	case isNetwork(err):
		return maxAttempts
	}
	return 1
}

func isNetwork(err error) bool {
	var (
		request *url.Error
		network net.Error
	)
	return errors.Is(err, stall.ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &request) || errors.As(err, &network)
}

// isFinal reports errors that are not the network's, though HTTP wraps them as if
// they were.
func isFinal(err error) bool {
	var source *sourceError
	return errors.Is(err, errCredential) || errors.Is(err, errDamaged) || errors.As(err, &source)
}

func hasCode(answer *transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// maxRest is the longest pause that a registry can ask for.
const maxRest = 2 * time.Minute

// throttle is how long a registry wants to be left alone, by everybody.
type throttle struct {
	mu    sync.Mutex
	until time.Time
}

// note reads the Retry-After of an answer.
func (t *throttle) note(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	after := resp.Header.Get("Retry-After")
	until, err := http.ParseTime(after)
	if seconds, secondsErr := strconv.Atoi(after); secondsErr == nil {
		until, err = time.Now().Add(time.Duration(min(seconds, int(maxRest.Seconds())))*time.Second), nil
	}
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
}

// rest returns what is left of it.
func (t *throttle) rest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(time.Until(t.until), maxRest)
}
