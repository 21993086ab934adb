package ebs

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Snapshotter is an [sdk.VolumeSnapshotter] for EBS volumes.
type Snapshotter struct {
	log     *slog.Logger
	clock   clock
	clients awsaccess.Clients

	current locationstate.Current[ebs]
}

var (
	_ sdk.VolumeSnapshotter = (*Snapshotter)(nil)
	_ sdk.Configured        = (*Snapshotter)(nil)
	_ sdk.Checked           = (*Snapshotter)(nil)
)

// New returns a snapshotter that has no configuration yet.
func New(log *slog.Logger) *Snapshotter {
	return &Snapshotter{log: log, clock: machineClock{}}
}

// ConfigKeys implements sdk.Configured.
func (s *Snapshotter) ConfigKeys() config.Keys { return configKeys() }

// ebs is EC2 as one configuration reaches it. It does not change.
type ebs struct {
	settings
	log    *slog.Logger
	clock  clock
	client *ec2.Client
}

// Init implements sdk.VolumeSnapshotter. With the configuration and the files
// that it had before it returns at once.
func (s *Snapshotter) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	var p *prepared
	err := s.current.Update(func() (fingerprint locationstate.Fingerprint, err error) {
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

// ebs returns the state of the last Init that succeeded.
func (s *Snapshotter) ebs() (*ebs, error) {
	if e := s.current.Load(); e != nil {
		return e, nil
	}
	return nil, &fault.Error{Code: CodeNotReady, What: "the snapshotter was used before its configuration"}
}

// VolumeInfo implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeInfo(ctx context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	e, err := s.ebs()
	if err != nil {
		return sdk.VolumeInfoResult{}, err
	}
	volumeType, iops, err := e.volumeInfo(ctx, in.VolumeID)
	return sdk.VolumeInfoResult{VolumeType: volumeType, IOPS: iops}, err
}

// CreateSnapshot implements sdk.VolumeSnapshotter. It does not wait for the
// snapshot: the first one of a volume can take hours.
func (s *Snapshotter) CreateSnapshot(ctx context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	e, err := s.ebs()
	if err != nil {
		return sdk.CreateSnapshotResult{}, err
	}
	id, err := e.createSnapshot(ctx, in.VolumeID, in.Tags)
	return sdk.CreateSnapshotResult{SnapshotID: id}, err
}

// DeleteSnapshot implements sdk.VolumeSnapshotter. Velero calls it without an id
// for a snapshot that could not be created.
func (s *Snapshotter) DeleteSnapshot(ctx context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	e, err := s.ebs()
	if err != nil || in.SnapshotID == "" {
		return sdk.DeleteSnapshotResult{}, err
	}
	return sdk.DeleteSnapshotResult{}, e.deleteSnapshot(ctx, in.SnapshotID)
}

// CreateVolume implements sdk.VolumeSnapshotter. It waits for the
// snapshot to be complete, and for the volume to be there.
func (s *Snapshotter) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	e, err := s.ebs()
	if err != nil {
		return sdk.CreateVolumeResult{}, err
	}
	id, err := e.createVolume(ctx, in.SnapshotID, in.VolumeType, in.Zone, in.IOPS)
	return sdk.CreateVolumeResult{VolumeID: id}, err
}

// VolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	id, err := volumeID(in.PersistentVolume, s.log)
	return sdk.VolumeIDResult{VolumeID: id}, err
}

// SetVolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	e, err := s.ebs()
	if err != nil {
		return sdk.SetVolumeIDResult{}, err
	}
	return sdk.SetVolumeIDResult{}, e.setVolumeID(in.PersistentVolume, in.VolumeID)
}

// clock is the time, which tests do not want to wait for.
type clock interface {
	Now() time.Time
	// Sleep returns early, with the cause, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
