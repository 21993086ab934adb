package awsaccess

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// MaxAttempts is how often a request is sent, unless AWS_MAX_ATTEMPTS says
// otherwise. A backup of hours should outlast a minute of trouble.
const MaxAttempts = 10

// NewRetryer returns the SDK's standard retryer, which does not repeat requests that
// cannot succeed, and pauses only briefly when a server refuses connections.
func NewRetryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		// The SDK's quota of attempts is shared by all requests of a client, so that
		// of 32 parts on their way each would have a few only.
		o.RateLimiter = ratelimit.None
		o.Backoff = backoff{retry.NewExponentialJitterBackoff(o.MaxBackoff)}
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(isPermanent)}, o.Retryables...)
	})
}

// isPermanent rules out errors that another attempt cannot mend. Those about
// credentials are among them, as the credentials were requested several times
// before.
func isPermanent(err error) aws.Ternary {
	if endpoint.IsPermanent(err) || AboutCredentials(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// dialDelay bounds the pause after a connection that could not be made: an
// address that refuses connections rarely recovers within the attempts, and the
// administrator waits for the error.
const dialDelay = time.Second

type backoff struct{ retry.BackoffDelayer }

func (b backoff) BackoffDelay(attempt int, err error) (time.Duration, error) {
	delay, delayErr := b.BackoffDelayer.BackoffDelay(attempt, err)
	if endpoint.IsDial(err) {
		delay = min(delay, dialDelay)
	}
	return delay, delayErr
}
