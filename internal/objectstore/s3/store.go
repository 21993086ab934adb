package s3

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Store is an [sdk.ObjectStore] in an S3 bucket.
type Store struct {
	log      *slog.Logger
	given    *awsaccess.Given // in place of the configuration's credentials, nil for none
	memory   int              // bytes of all buffers, 0 for what the configuration says
	maxParts int              // of an upload

	current locationstate.Current[location]

	clients awsaccess.Clients

	// Init alone uses the rest.
	regions map[string]string        // what discovery found, by hint and bucket
	modes   map[[2]string]*integrity // what servers take, by endpoint and bucket
}

var (
	_ sdk.ObjectStore = (*Store)(nil)
	_ sdk.Configured  = (*Store)(nil)
	_ sdk.Checked     = (*Store)(nil)
)

// New returns a store that has no configuration yet.
func New(log *slog.Logger, options ...Option) *Store {
	s := &Store{log: log, maxParts: maxParts, regions: map[string]string{}, modes: map[[2]string]*integrity{}}
	for _, set := range options {
		set(s)
	}
	return s
}

// Option changes how a store works.
type Option func(*Store)

// WithCredential makes the store use a credential, unless it is nil, whatever its
// configuration and the environment say.
func WithCredential(given *awsaccess.Given) Option { return func(s *Store) { s.given = given } }

// WithMemory bounds the buffers of all transfers together, in bytes. Uploads wait
// until there is a buffer for them, so their bodies must not wait for each other;
// those whose body is a bytes.Reader or strings.Reader of up to one part need
// none. Parts are smaller than configured where few would fit.
func WithMemory(bytes int) Option { return func(s *Store) { s.memory = bytes } }

// ConfigKeys implements sdk.Configured.
func (s *Store) ConfigKeys() config.Keys { return configKeys() }

// location is the state that one configuration leads to. It does not change.
type location struct {
	log   *slog.Logger
	begun time.Time // when the Init began that made it

	settings settings
	region   string
	tls      bool
	cfg      aws.Config
	client   *s3.Client
	presign  *s3.PresignClient

	encryption   encryption
	tagging      *string
	storageClass string
	acl          string
	integrity    *integrity

	pool        *transfer.Pool
	concurrency int
}

// Init implements sdk.ObjectStore. All that can be checked without the network
// is checked first. With the configuration and the files that it had before it
// returns at once.
func (s *Store) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	return sdk.InitResult{}, answer.Reword(s.initialize(ctx, in.Config))
}

func (s *Store) initialize(ctx context.Context, configuration map[string]string) error {
	start := time.Now()
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
		ctx, cancel := context.WithTimeout(ctx, initTime)
		defer cancel()
		l, err := s.connect(ctx, p, previous)
		if err != nil {
			return nil, err
		}
		l.begun = start
		return l, nil
	})
}

// Velero validates its locations one after the other, each by an Init and a list
// of the location's root, so a location that fails must do so soon. The patience
// of many attempts is for transfers.
const (
	initTime       = 8 * time.Second  // for what Init asks the network
	validationTime = 14 * time.Second // for Init and the list of the root
	rootListTime   = 6 * time.Second  // that the list of the root has in any case
)

// prepared is a configuration with the local files that belong to it.
type prepared struct {
	settings    settings
	identity    awsaccess.Identity
	key         []byte // SSE-C key of a file
	fingerprint locationstate.Fingerprint
}

// prepare checks a configuration and reads its files.
func (s *Store) prepare(ctx context.Context, configuration map[string]string) (*prepared, error) {
	set, err := parseSettings(configuration)
	if err != nil {
		return nil, err
	}
	set.access.Given = s.given
	if err := credpolicy.AWSConfig.Check(set.access.Author(), "the config of the location",
		credpolicy.Value{Name: "customerKeyEncryptionFile", Value: set.customerKeyFile},
		credpolicy.Value{Name: "customerKeyEncryptionSecret", Value: set.customerKeySecret.name}); err != nil {
		return nil, err
	}
	bundle, err := set.trust.Bundle()
	if err != nil {
		return nil, err
	}
	id, err := set.access.Identity(ctx)
	if err != nil {
		return nil, err
	}
	set.warnings = append(set.warnings, id.Warnings...)
	p := &prepared{identity: id}
	if set.customerKeyFile != "" {
		if p.key, err = set.readCustomerKeyFile(); err != nil {
			return nil, err
		}
	}
	p.settings = set
	p.fingerprint = locationstate.FingerprintOf(configuration, bundle, id.Content[:], p.key)
	return p, nil
}

// connect finds out what only the network knows, and builds the clients.
func (s *Store) connect(ctx context.Context, p *prepared, previous *location) (*location, error) {
	set := &p.settings
	if set.customerKeySecret.name != "" {
		key, err := readCustomerKeySecret(ctx, set.customerKeySecret)
		if err != nil {
			return nil, err
		}
		p.key = key
	}
	if p.key != nil {
		set.encryption = newCustomerEncryption(p.key)
	}
	cfg, err := s.configure(ctx, p)
	if err != nil {
		return nil, err
	}
	if p.identity.Pinned {
		if _, err := p.identity.Retrieve(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return s.build(p, cfg, previous), nil
}

// configure returns the AWS configuration with the region of the bucket.
func (s *Store) configure(ctx context.Context, p *prepared) (aws.Config, error) {
	client, err := s.clients.For(p.settings.trust)
	if err != nil {
		return aws.Config{}, err
	}
	// With an endpoint of one's own the location's region is a name that only
	// that server knows, so tokens are requested in the environment's.
	tokenRegion := ""
	region := p.settings.region
	if p.settings.endpoint == "" {
		if region == "" {
			if region, err = s.discover(ctx, p, client); err != nil {
				return aws.Config{}, err
			}
		}
		tokenRegion = region
	}
	cfg, err := p.identity.Config(ctx, client, tokenRegion)
	if err != nil {
		return aws.Config{}, err
	}
	if region != "" {
		cfg.Region = region
	}
	return cfg, nil
}

func (s *Store) build(p *prepared, cfg aws.Config, previous *location) *location {
	set := p.settings
	l := &location{
		log:          s.log,
		settings:     set,
		region:       cfg.Region,
		cfg:          cfg,
		client:       newClient(cfg, set.endpoint, set.pathStyle),
		encryption:   set.encryption,
		tagging:      optional(set.tagging),
		storageClass: set.storageClass,
		acl:          set.acl,
		concurrency:  set.concurrency,
	}
	public := l.client
	if set.publicEndpoint != "" {
		public = newClient(cfg, set.publicEndpoint, set.pathStyle)
	}
	l.presign = s3.NewPresignClient(public)
	l.tls = !strings.HasPrefix(aws.ToString(l.client.Options().BaseEndpoint), "http://")

	l.integrity = s.integrity(set)
	l.pool = s.pool(set)
	if previous != nil && previous.pool.Size() == l.pool.Size() && previous.concurrency == set.concurrency {
		l.pool = previous.pool
	}
	return l
}

// fewBuffers are too few for parts to be larger than they must be.
const fewBuffers = 8

// pool returns the buffers for a configuration.
func (s *Store) pool(set settings) *transfer.Pool {
	if s.memory == 0 {
		return transfer.NewPool(set.partSize, set.concurrency+1)
	}
	size := min(set.partSize, max(s.memory/fewBuffers, minPartSize))
	return transfer.NewStrictPool(size, max(s.memory/size, 1))
}

// integrity returns what is known about the server's checksums. An algorithm that
// the configuration fixes starts anew.
func (s *Store) integrity(set settings) *integrity {
	if set.checksum.fixed {
		return newIntegrity(set.checksum, s.log)
	}
	where := [2]string{set.endpoint, set.bucket}
	if s.modes[where] == nil {
		s.modes[where] = newIntegrity(set.checksum, s.log)
	}
	return s.modes[where]
}

// Close frees what the store holds: connections and the memory of buffers. No
// call may be running, and none may follow.
func (s *Store) Close() {
	s.clients.Close()
	if l := s.current.Load(); l != nil {
		l.pool.Free()
	}
}

// location returns the state of the last Init that succeeded.
func (s *Store) location() (*location, error) { return s.current.Need("the store", CodeNotReady) }

// PutObject implements sdk.ObjectStore.
func (s *Store) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	u := &upload{location: l, bucket: in.Bucket, key: in.Key}
	_, err = transfer.Upload(ctx, in.Body, transfer.UploadOptions{
		Pool:        l.pool,
		Concurrency: l.concurrency,
		MaxParts:    s.maxParts,
		MaxPartSize: maxPartSize,
	}, u)
	return sdk.PutObjectResult{}, l.explain("error putting object "+in.Key, err)
}

// GetObject implements sdk.ObjectStore.
func (s *Store) GetObject(ctx context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	d := &download{location: l, bucket: in.Bucket, key: in.Key}
	r, err := transfer.Download(ctx, transfer.DownloadOptions{
		Pool:        l.pool,
		Concurrency: rangesInFlight,
		EnoughRate:  enoughRate,
	}, d.open)
	if err != nil {
		return sdk.GetObjectResult{}, d.explain(err)
	}
	return sdk.GetObjectResult{Body: &reader{body: r, download: d}}, nil
}
