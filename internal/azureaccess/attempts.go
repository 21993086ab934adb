package azureaccess

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

const (
	// firstPause and maxPause are the pauses between attempts. Ten attempts outlast
	// a minute of trouble.
	firstPause = 500 * time.Millisecond
	maxPause   = 15 * time.Second
	// dialAttempts is how often a server is tried that refuses connections: that
	// rarely passes, and the administrator waits for the error.
	dialAttempts = 4
)

// NewAttempts returns a policy that makes a request up to so many times. It is
// used in place of the SDK's own, which has one limit for all errors.
func NewAttempts(most int) policy.Policy { return attempts{most} }

type attempts struct{ most int }

type attemptsKey struct{}

// WithAttempts limits the attempts of a request further.
func WithAttempts(ctx context.Context, most int) context.Context {
	return context.WithValue(ctx, attemptsKey{}, most)
}

// errRepeat is the error of an answer after which the request is made again.
type errRepeat struct{ status int }

func (e *errRepeat) Error() string { return http.StatusText(e.status) }

// Do implements policy.Policy.
func (a attempts) Do(request *policy.Request) (*http.Response, error) {
	var response *http.Response
	throttle := &endpoint.Throttle{}
	ctx := request.Raw().Context()
	most := a.most
	if limit, ok := ctx.Value(attemptsKey{}).(int); ok {
		most = min(most, limit)
	}
	err := endpoint.Attempts{
		Most: func(err error) int {
			var repeat *errRepeat
			var known *fault.Error
			switch {
			case errors.As(err, &repeat):
				return most
			case errors.As(err, &known), !endpoint.IsNetwork(err), endpoint.IsPermanent(err):
				return 1
			case endpoint.IsDial(err):
				return min(most, dialAttempts)
			}
			return most
		},
		FirstPause: firstPause, MaxPause: maxPause, Throttle: throttle,
	}.Do(ctx, func() error {
		if response != nil {
			runtime.Drain(response)
			response = nil
		}
		if err := request.RewindBody(); err != nil {
			return err
		}
		var err error
		if response, err = request.Clone(ctx).Next(); err != nil {
			response = nil
			return err
		}
		throttle.Note(response)
		if slices.Contains(repeated, response.StatusCode) {
			return &errRepeat{response.StatusCode}
		}
		return nil
	})
	var repeat *errRepeat
	if errors.As(err, &repeat) && response != nil {
		return response, nil // the client makes an error of it
	}
	return response, err
}

// repeated are the answers after which a request is made again.
var repeated = []int{
	http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}
