package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// IsTransient reports whether a request may succeed when it is made again: the
// API server could not be reached, is overloaded (429) or failed (5xx). Refusals
// (403, 404, 409, 422) are answers.
func IsTransient(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		code := status.Status().Code
		return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests
	}
	var untrusted *tls.CertificateVerificationError
	var connection *url.Error
	return errors.As(err, &connection) && !errors.As(err, &untrusted) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// betweenAttempts are the pauses between the attempts of a request that only
// reads: half a second, then twice as long each time, 15 seconds in all.
func betweenAttempts() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6}
}

// reading makes a request that only reads again while its error is transient.
func reading(ctx context.Context, request func() error) error {
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, betweenAttempts(), func(context.Context) (done bool, err error) {
		last = request()
		return !IsTransient(last), nil
	})
	if last == nil && err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return last
}
