package awsaccess

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

const (
	// credentialTime bounds the first request for credentials.
	credentialTime = 30 * time.Second
	// renewalMargin is how long before their end credentials are renewed.
	renewalMargin = 5 * time.Minute
	// renewalTime bounds a renewal, with all its attempts.
	renewalTime = 2 * time.Minute
	// renewalPause is the time between two renewals, as long as the credentials at
	// hand are valid.
	renewalPause = 10 * time.Second
)

// credentials are used until they end. A renewal begins before that, without
// anybody waiting for it, so that a token service that is busy or stands still for
// minutes stops no upload.
type credentials struct {
	id     Identity
	client aws.HTTPClient // of the services that hand them out
	fetch  func(ctx context.Context) (aws.Credentials, error)

	mu      sync.Mutex
	keys    aws.Credentials // "" before the first ones
	running *renewal        // nil for none
	next    time.Time       // when keys that are valid may be renewed again
}

// renewal is one renewal that is under way.
type renewal struct {
	done chan struct{} // closed at its end; keys and err do not change afterwards
	keys aws.Credentials
	err  error // until done the error of the last attempt, to be read under the lock of credentials
}

// newCredentials returns credentials that the provider in a cache of the SDK
// fetches.
func newCredentials(id Identity, cache *aws.CredentialsCache, client aws.HTTPClient) *credentials {
	return &credentials{id: id, client: client, fetch: func(ctx context.Context) (aws.Credentials, error) {
		cache.Invalidate()
		return cache.Retrieve(ctx)
	}}
}

// Retrieve implements aws.CredentialsProvider. Its errors say whose the
// credentials are.
func (c *credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	now := time.Now()
	if c.isValid(now) {
		if c.keys.CanExpire && c.keys.Expires.Sub(now) < renewalMargin && c.running == nil && now.After(c.next) {
			c.renew()
		}
		defer c.mu.Unlock()
		return c.keys, nil
	}
	if c.running == nil {
		c.renew()
	}
	running := c.running
	c.mu.Unlock()
	return c.wait(ctx, running)
}

// isValid reports whether the keys at hand can still be used. c.mu is held.
func (c *credentials) isValid(now time.Time) bool {
	return c.keys.HasKeys() && (!c.keys.CanExpire || now.Before(c.keys.Expires))
}

// wait waits for a renewal. When ctx ends before, the last error of the token
// service is the reason.
func (c *credentials) wait(ctx context.Context, r *renewal) (aws.Credentials, error) {
	select {
	case <-r.done:
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			return aws.Credentials{}, c.id.explain(r.err)
		}
		return aws.Credentials{}, c.id.explain(ctx.Err())
	}
	if r.err != nil {
		return aws.Credentials{}, c.id.explain(r.err)
	}
	return r.keys, nil
}

// renew begins a renewal. c.mu is held.
func (c *credentials) renew() {
	r := &renewal{done: make(chan struct{})}
	c.running = r
	hadKeys := c.keys.HasKeys()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), renewalTime)
		defer cancel()
		var keys aws.Credentials
		err := endpoint.Attempts{
			Most: func(err error) int {
				if !isTransient(err) || !hadKeys && tokenOperation(err) == "" {
					return 1 // refused, or no identity of this kind here
				}
				return maxRenewals
			},
			FirstPause: time.Second,
			MaxPause:   renewalPause,
		}.Do(ctx, func() (err error) {
			keys, err = c.fetch(ctx)
			if err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				r.err = err
			}
			return err
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case err == nil:
			r.keys, r.err = keys, nil
			c.keys = keys
		case r.err == nil:
			r.err = err
		}
		c.next = time.Now().Add(renewalPause)
		c.running = nil
		close(r.done)
	}()
}

// maxRenewals is more often than renewalTime allows.
const maxRenewals = 100

// isTransient reports whether another attempt may get credentials: the token
// service is busy or cannot be reached, in contrast to refusing them.
func isTransient(err error) bool {
	if isBusy(err) {
		return true
	}
	var api smithy.APIError
	return !errors.As(err, &api) && endpoint.IsNetwork(err) && !endpoint.IsPermanent(err)
}

// isBusy reports whether a token service answered that it cannot answer now.
func isBusy(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	status := Status(err)
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests ||
		strings.Contains(api.ErrorCode(), "Throttl") || api.ErrorCode() == "RequestLimitExceeded" || api.ErrorCode() == "IDPCommunicationError"
}

// Renew requests new credentials, whatever is left of the life of those at hand.
func Renew(ctx context.Context, cfg aws.Config) error {
	c, ok := cfg.Credentials.(*credentials)
	if !ok {
		return nil
	}
	c.mu.Lock()
	if c.running == nil {
		c.renew()
	}
	running := c.running
	c.mu.Unlock()
	_, err := c.wait(ctx, running)
	return err
}

// Retrieve requests credentials within a time limit and names their source.
func (id Identity) Retrieve(ctx context.Context, cfg aws.Config) (source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, credentialTime)
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	return id.sourceName(c), err
}

// sourceName names the provider in words where the SDK's name needs them.
func (id Identity) sourceName(c aws.Credentials) string {
	name, detail, _ := strings.Cut(c.Source, ": ")
	if id.file.name != "" {
		detail = id.file.name
	}
	words := map[string]string{
		"SharedConfigCredentials":     "keys in file " + detail,
		"EnvConfigCredentials":        "keys in the environment",
		"WebIdentityCredentials":      "web identity token",
		"AssumeRoleProvider":          "assumed role",
		"EC2RoleProvider":             "role of the machine",
		"CredentialsEndpointProvider": "container credentials endpoint",
		"ProcessProvider":             "credential_process",
		"SSOProvider":                 "single sign-on",
	}[name]
	if words == "" {
		return c.Source
	}
	return words
}
