package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// Config says how a registry is reached.
type Config struct {
	// Host is the registry's name, with its port unless that is 443.
	Host string
	// Credential returns the user and the password. It is called for each use, so
	// that they may change, and by several goroutines at a time. nil is anonymous
	// access.
	Credential func(ctx context.Context) (user, password string, err error)
	// CAs are certificates in PEM that are trusted beside the system's.
	CAs []byte
	// Insecure trusts any certificate, and uses plain HTTP if there is no HTTPS.
	// The latter is also done on the loopback interface.
	Insecure bool
	// Log gets a line for each attempt that failed and is repeated; nil is none.
	Log *slog.Logger
}

// Client is a registry as a source and as a target of images.
type Client struct {
	registry   name.Registry
	credential authn.Authenticator
	http       *roundTripper
	log        *slog.Logger
	pause      func(context.Context, time.Duration) error

	authorizing sharedwork.Group[string, struct{}] // by repository
	mu          sync.Mutex
	authorized  map[string]*http.Client // by repository

	known     blobRepositories
	putting   sharedwork.Group[string, struct{}] // by repository and digest
	uploading sharedwork.Group[string, struct{}] // by digest
}

var (
	_ images.Source = (*Client)(nil)
	_ images.Target = (*Client)(nil)
)

// New returns a client. It sends nothing yet.
func New(config Config) (*Client, error) {
	registry, err := name.NewRegistry(config.Host, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("the registry's host %q: %w", config.Host, err)
	}
	requests, err := newRoundTripper(registry.RegistryStr(), config)
	if err != nil {
		return nil, err
	}
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		registry:   registry,
		credential: newCredential(config.Credential),
		http:       requests,
		log:        log,
		pause:      endpoint.Sleep,
		authorized: map[string]*http.Client{},
	}, nil
}

// Close frees the connections that are not in use. The client may be used
// further.
func (c *Client) Close() { c.http.transport.CloseIdleConnections() }

// Announce implements images.Target.
func (c *Client) Announce(context.Context, images.Announcement) error { return nil }

// credential is what a registry or its token server asks for.
type credential func(ctx context.Context) (user, password string, err error)

func newCredential(f credential) authn.Authenticator {
	if f == nil {
		return authn.Anonymous
	}
	return f
}

// errCredential says that there was no credential to send.
var errCredential = errors.New("error reading the credential")

// AuthorizationContext implements authn.ContextAuthenticator.
func (f credential) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	user, password, err := f(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCredential, err)
	}
	return &authn.AuthConfig{Username: user, Password: password}, nil
}

// Authorization implements authn.Authenticator.
func (f credential) Authorization() (*authn.AuthConfig, error) {
	return f.AuthorizationContext(context.Background())
}

// repositoryName is what a registry takes for the name of a repository.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)

// authorize returns a client for requests about a repository. The first call for
// it finds out what the registry asks for and gets a token; when that is no
// longer taken, or not for what is asked now, the client gets another one.
func (c *Client) authorize(ctx context.Context, repository string) (*http.Client, error) {
	if !repositoryName.MatchString(repository) {
		return nil, fmt.Errorf("%q is not the name of a repository", repository)
	}
	if client := c.authorizedFor(repository); client != nil {
		return client, nil
	}
	err := share(ctx, &c.authorizing, repository, func() error {
		if c.authorizedFor(repository) != nil {
			return nil
		}
		scopes := []string{c.registry.Repo(repository).Scope(transport.PullScope)}
		t, err := transport.NewWithContext(ctx, c.registry, c.credential, c.http, scopes)
		if err != nil {
			return fmt.Errorf("error in the registry's handshake: %w", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.authorized[repository] = &http.Client{Transport: t}
		return nil
	})
	return c.authorizedFor(repository), err
}

// share does work for all callers that ask for it at the same time. They get its error
// as well, unless it comes of the end of the caller that works.
func share(ctx context.Context, group *sharedwork.Group[string, struct{}], key string, work func() error) error {
	_, _, err := group.Do(ctx, key, func(ctx context.Context) (none struct{}, shared bool, err error) {
		err = work()
		return none, ctx.Err() == nil, err
	})
	return err
}

func (c *Client) authorizedFor(repository string) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.authorized[repository]
}

// url returns the address of something in a repository.
func (c *Client) url(repository, kind, reference string) *url.URL {
	return &url.URL{
		Scheme: "https", // or what the handshake has found
		Host:   c.registry.RegistryStr(),
		Path:   "/v2/" + repository + "/" + kind + "/" + reference,
	}
}

// send sends a request about a repository. An answer with another status than
// one of these is an error.
func (c *Client) send(r *http.Request, repository string, statuses ...int) (*http.Response, error) {
	client, err := c.authorize(r.Context(), repository)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, statuses...); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}
