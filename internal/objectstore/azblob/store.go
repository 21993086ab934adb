package azblob

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Store is an [sdk.ObjectStore] in a container of Blob storage.
type Store struct {
	log    *slog.Logger
	given  *azureaccess.Given // in place of the configuration's credentials, nil for none
	memory int                // bytes of all buffers, 0 for what the configuration says

	current locationstate.Current[location]

	transports endpoint.Transports
}

var (
	_ sdk.ObjectStore = (*Store)(nil)
	_ sdk.Configured  = (*Store)(nil)
	_ sdk.Checked     = (*Store)(nil)
)

// New returns a store that has no configuration yet.
func New(log *slog.Logger, options ...Option) *Store {
	s := &Store{log: log}
	for _, set := range options {
		set(s)
	}
	return s
}

// Option changes how a store works.
type Option func(*Store)

// WithCredential makes the store use a credential, unless it is nil, whatever its
// configuration and the environment say.
func WithCredential(given *azureaccess.Given) Option { return func(s *Store) { s.given = given } }

// WithMemory bounds the buffers of all transfers together, in bytes. Uploads wait
// until there is a buffer for them, so their bodies must not wait for each other;
// those whose body is a bytes.Reader or strings.Reader of up to one block need
// none. Blocks are smaller than configured where few would fit.
func WithMemory(bytes int) Option { return func(s *Store) { s.memory = bytes } }

// ConfigKeys implements sdk.Configured.
func (s *Store) ConfigKeys() config.Keys { return configKeys() }

// location is the state that one configuration leads to. It does not change.
type location struct {
	log       *slog.Logger
	account   *account
	transport *http.Client

	pool        *transfer.Pool
	concurrency int

	mu         sync.Mutex
	containers map[string]*container.Client // by name
}

// initialize takes a configuration. All that can be checked without the network is
// checked first. With the configuration and the credentials that it had before it
// returns at once.
func (s *Store) initialize(ctx context.Context, configuration map[string]string) error {
	var p *prepared
	return s.current.Update(func() (fingerprint locationstate.Fingerprint, err error) {
		if p, err = s.prepare(ctx, configuration); err != nil {
			return fingerprint, err
		}
		return p.fingerprint, nil
	}, func(previous *location) (*location, error) {
		for _, warning := range p.settings.warnings {
			s.log.Warn(warning)
		}
		found, err := p.find(ctx)
		if err != nil {
			return nil, err
		}
		s.log.Info("Blob storage is used", "endpoint", found.endpoint, "endpointFrom", found.found, "credential", found.how)
		return s.build(p, found, previous), nil
	})
}

// prepared is a configuration with the credentials that belong to it.
type prepared struct {
	finder
	fingerprint locationstate.Fingerprint
}

// prepare checks a configuration and reads its files.
func (s *Store) prepare(ctx context.Context, configuration map[string]string) (*prepared, error) {
	set, err := parseSettings(configuration)
	if err != nil {
		return nil, err
	}
	set.access.Given = s.given
	bundle, err := set.trust.Bundle()
	if err != nil {
		return nil, err
	}
	identity, err := set.access.Identity(ctx)
	if err != nil {
		return nil, err
	}
	transport, err := s.transports.For(set.trust)
	if err != nil {
		return nil, err
	}
	set.warnings = append(set.warnings, identity.Warnings...)
	if set.useAAD && set.keyEntry == "" && identity.Entry("AZURE_STORAGE_KEY") != "" {
		set.warn("useAAD is true, so the entry AZURE_STORAGE_KEY of %s is not used", identity.Source())
	}
	if set.sasEntry != "" {
		set.warn("links for downloads contain the shared access signature of the whole container, since nothing else can be signed with it: prefer an account key or useAAD")
	}
	return &prepared{
		finder:      finder{&set, identity, transport.Client()},
		fingerprint: locationstate.FingerprintOf(configuration, bundle, identity.Content[:]),
	}, nil
}

func (s *Store) build(p *prepared, found *account, previous *location) *location {
	l := &location{
		log:         s.log,
		account:     found,
		transport:   p.transport,
		pool:        s.pool(p.settings),
		concurrency: p.settings.buffers - 1,
		containers:  map[string]*container.Client{},
	}
	if previous != nil && previous.pool.Size() == l.pool.Size() && previous.concurrency == l.concurrency {
		l.pool = previous.pool
	}
	return l
}

// fewBuffers are too few for blocks to be larger than they must be.
const fewBuffers = 8

// pool returns the buffers for a configuration.
func (s *Store) pool(set *settings) *transfer.Pool {
	if s.memory == 0 {
		return transfer.NewPool(set.blockSize, set.buffers)
	}
	size := min(set.blockSize, max(s.memory/fewBuffers, mib))
	return transfer.NewStrictPool(size, max(s.memory/size, 1))
}

// container returns the client of a container.
func (l *location) container(name string) (*container.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.containers[name]; ok {
		return c, nil
	}
	c, err := l.account.client(name, l.transport)
	if err == nil {
		l.containers[name] = c
	}
	return c, err
}

// Close frees what the store holds: connections and the memory of buffers. No
// call may be running, and none may follow.
func (s *Store) Close() {
	s.transports.Close()
	if l := s.current.Load(); l != nil {
		l.pool.Free()
	}
}

// location returns the state of the last Init that succeeded.
func (s *Store) location() (*location, error) { return s.current.Need("the store", CodeNotReady) }

// Init implements sdk.ObjectStore.
func (s *Store) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	return sdk.InitResult{}, answer.Reword(s.initialize(ctx, in.Config))
}

// PutObject implements sdk.ObjectStore.
func (s *Store) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	return sdk.PutObjectResult{}, l.put(ctx, in.Bucket, in.Key, in.Body)
}

// GetObject implements sdk.ObjectStore.
func (s *Store) GetObject(ctx context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	body, err := l.get(ctx, in.Bucket, in.Key)
	return sdk.GetObjectResult{Body: body}, err
}
