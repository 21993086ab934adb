package awsaccess

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// BundleVariable is the environment variable that names a file of authorities. The
// OADP operator sets it to the authorities of all locations.
const BundleVariable = "AWS_CA_BUNDLE"

// Domains are those of Amazon's own services.
var Domains = []string{"amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws"}

// Trust returns what a location trusts. skipVerify is for the hosts of its own
// URLs, those that are "" left out; without one it is for AWS, or the server that
// serviceVariable names, such as "AWS_ENDPOINT_URL_S3", or AWS_ENDPOINT_URL. It is
// never for the token service.
func Trust(caCert string, skipVerify bool, serviceVariable string, urls ...string) endpoint.Trust {
	trust := endpoint.Trust{CACert: caCert, BundleVariable: BundleVariable}
	if !skipVerify {
		return trust
	}
	for _, u := range urls {
		trust.Unverified = appendHost(trust.Unverified, u)
	}
	if len(trust.Unverified) == 0 {
		trust.Unverified = append(trust.Unverified, Domains...)
		for _, variable := range []string{serviceVariable, "AWS_ENDPOINT_URL"} {
			trust.Unverified = appendHost(trust.Unverified, os.Getenv(variable))
		}
	}
	return trust
}

func appendHost(hosts []string, rawURL string) []string {
	if u, err := url.Parse(rawURL); err == nil && u.Hostname() != "" {
		return append(hosts, u.Hostname())
	}
	return hosts
}

// Client sends the requests of a service, and those for its credentials.
type Client struct {
	service *http.Client
	// tokens is for services that hand out credentials and verifies every
	// certificate. The SDK takes no client but its own when the environment names
	// authorities.
	tokens *awshttp.BuildableClient
	// oneAuthority is one of the certificates that the transport trusts besides the
	// system's, in PEM; nil without any.
	oneAuthority []byte
}

// NewClient returns a client that sends requests by transport.
func NewClient(transport *endpoint.Transport) *Client {
	return &Client{transport.Client(), awshttp.NewBuildableClient().WithTransportOptions(transport.Verifying), transport.OneAuthority()}
}

// HTTP returns the client for requests that no SDK makes.
func (c *Client) HTTP() *http.Client { return c.service }

// Clients keeps one [Client] for each [endpoint.Trust], so that a new configuration
// of a location goes on with the connections of the last one. The zero value is
// ready to use, also by several goroutines.
type Clients struct {
	transports endpoint.Transports

	mu          sync.Mutex
	byTransport map[*endpoint.Transport]*Client
}

// For returns the client of a location.
func (c *Clients) For(trust endpoint.Trust) (*Client, error) {
	transport, err := c.transports.For(trust)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.byTransport[transport]; ok {
		return client, nil
	}
	if c.byTransport == nil {
		c.byTransport = map[*endpoint.Transport]*Client{}
	}
	client := NewClient(transport)
	c.byTransport[transport] = client
	return client, nil
}

// Close closes all connections, also those in use.
func (c *Clients) Close() { c.transports.Close() }

// tokenLimits are those of an answer of a service that hands out credentials. All
// requests of the process may wait for it.
var tokenLimits = endpoint.Limits{Head: 15 * time.Second, Body: 15 * time.Second}

// limitAnswers makes a client of the SDK fail an answer that exceeds tokenLimits, and
// one that redirects.
func limitAnswers(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("LimitAnswer", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
		_, err = tokenLimits.Guard(ctx, func(ctx context.Context) (*http.Response, error) {
			var err error
			out, metadata, err = next.HandleDeserialize(ctx, in)
			if response, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
				return response.Response, redirection(response.Response)
			}
			return nil, err
		})
		var known *fault.Error
		switch {
		case errors.Is(err, endpoint.ErrStalled):
			err = &smithyhttp.RequestSendError{Err: err} // which the SDK tries again
		case errors.Is(err, endpoint.CodeRedirect) && errors.As(err, &known):
			err = known // without the words for a request that failed on its way, which the SDK tries again
		}
		return out, metadata, err
	}), middleware.After)
}

// redirection returns an error for an answer that redirects.
func redirection(response *http.Response) error {
	to, err := response.Location()
	if response.StatusCode/100 != 3 || err != nil {
		return nil
	}
	return endpoint.RefuseRedirect(&http.Request{URL: to, Response: response}, nil)
}
