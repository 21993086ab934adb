package ebs

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Snapshotter is an [sdk.VolumeSnapshotter] for EBS volumes.
type Snapshotter struct {
	snapshots.Delegate[ebs, *ebs]

	log     *slog.Logger
	clock   snapshots.Clock
	clients awsaccess.Clients
}

var (
	_ sdk.VolumeSnapshotter = (*Snapshotter)(nil)
	_ sdk.Configured        = (*Snapshotter)(nil)
	_ sdk.Checked           = (*Snapshotter)(nil)
)

// New returns a snapshotter that has no configuration yet.
func New(log *slog.Logger) *Snapshotter {
	return &Snapshotter{Delegate: snapshots.Delegate[ebs, *ebs]{NotReady: CodeNotReady}, log: log, clock: snapshots.MachineClock{}}
}

// ConfigKeys implements sdk.Configured.
func (s *Snapshotter) ConfigKeys() config.Keys { return configKeys() }

// ebs is EC2 as one configuration reaches it. It does not change.
type ebs struct {
	settings
	log    *slog.Logger
	clock  snapshots.Clock
	client *ec2.Client
}

// Init implements sdk.VolumeSnapshotter. With the configuration and the files
// that it had before it returns at once.
func (s *Snapshotter) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	var p *prepared
	err := s.Current.Update(func() (fingerprint locationstate.Fingerprint, err error) {
		if p, err = prepare(ctx, in.Config); err != nil {
			return fingerprint, err
		}
		return p.fingerprint, nil
	}, func(*ebs) (*ebs, error) { return s.connect(ctx, p) })
	return sdk.InitResult{}, err
}

// connect builds the client, and requests credentials if they are the location's
// own.
func (s *Snapshotter) connect(ctx context.Context, p *prepared) (*ebs, error) {
	for _, warning := range p.identity.Warnings {
		s.log.Warn(warning)
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
	return s.build(p, cfg), nil
}

// prepared is a configuration with the local files that belong to it.
type prepared struct {
	settings    settings
	identity    awsaccess.Identity
	fingerprint locationstate.Fingerprint
}

// prepare checks a configuration and reads its files.
func prepare(ctx context.Context, configuration map[string]string) (*prepared, error) {
	set, err := parseSettings(configuration)
	if err != nil {
		return nil, err
	}
	bundle, err := set.trust.Bundle()
	if err != nil {
		return nil, err
	}
	identity, err := set.access.Identity(ctx)
	if err != nil {
		return nil, err
	}
	p := &prepared{settings: set, identity: identity}
	read := [][]byte{bundle, identity.Content[:]}
	for _, key := range configKeys() {
		read = append(read, []byte(os.Getenv(key.Env)))
	}
	p.fingerprint = locationstate.FingerprintOf(configuration, read...)
	return p, nil
}

func (s *Snapshotter) configure(ctx context.Context, p *prepared) (aws.Config, error) {
	client, err := s.clients.For(p.settings.trust)
	if err != nil {
		return aws.Config{}, err
	}
	return p.identity.Config(ctx, client, p.settings.region)
}

func (s *Snapshotter) build(p *prepared, cfg aws.Config) *ebs {
	client := ec2.NewFromConfig(cfg, func(o *ec2.Options) {
		if p.settings.endpoint != "" {
			o.BaseEndpoint = &p.settings.endpoint
		}
		if o.RetryMaxAttempts == 0 {
			o.RetryMaxAttempts = awsaccess.MaxAttempts
		}
		if o.RetryMode != aws.RetryModeAdaptive {
			o.Retryer = awsaccess.NewRetryer(o.RetryMaxAttempts)
		}
	})
	return &ebs{settings: p.settings, log: s.log, clock: s.clock, client: client}
}

// VolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	id, err := volumeID(in.PersistentVolume, s.log)
	return sdk.VolumeIDResult{VolumeID: id}, err
}
