package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
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
	var last error
	err := endpoint.Attempts{
		Most:       attempts,
		FirstPause: firstPause,
		MaxPause:   maxPause,
		Throttle:   &c.http.throttle,
		Sleep:      c.pause,
		Failed: func(attempt int, pause time.Duration, err error) {
			c.log.Info("a request to the registry failed and is repeated", "attempt", attempt, "pause", pause.String(), "error", c.explain(what, err).Error())
		},
	}.Do(ctx, func() error {
		last = work()
		return last
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.explain(what, last)
}

// attempts returns how often work that fails with this error is done.
func attempts(err error) int {
	var answer *transport.Error
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
	case endpoint.IsPermanent(err):
		return 1
	case endpoint.IsNetwork(err):
		return maxAttempts
	}
	return 1
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
