package azuredisk

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Snapshotter is an [sdk.VolumeSnapshotter] for managed disks.
type Snapshotter struct {
	snapshots.Delegate[compute, *compute]

	log        *slog.Logger
	clock      snapshots.Clock
	transports endpoint.Transports
	volumes    volumes
}

var (
	_ sdk.VolumeSnapshotter = (*Snapshotter)(nil)
	_ sdk.Configured        = (*Snapshotter)(nil)
	_ sdk.Checked           = (*Snapshotter)(nil)
)

// New returns a snapshotter that has no configuration yet.
func New(log *slog.Logger) *Snapshotter {
	return &Snapshotter{Delegate: snapshots.Delegate[compute, *compute]{NotReady: CodeNotReady}, log: log, clock: snapshots.MachineClock{}}
}

// ConfigKeys implements sdk.Configured.
func (s *Snapshotter) ConfigKeys() config.Keys { return configKeys() }

// compute is Azure as one configuration reaches it. It does not change, but for
// what it has warned of.
type compute struct {
	settings
	identity azureaccess.Identity
	manager  *azureaccess.Manager
	log      *slog.Logger
	clock    snapshots.Clock
	volumes  *volumes

	groupWarning sync.Once
}

// Init implements sdk.VolumeSnapshotter. It makes no request. With the
// configuration and the credentials that it had before it returns at once.
func (s *Snapshotter) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	var p *prepared
	err := s.Current.Update(func() (fingerprint locationstate.Fingerprint, err error) {
		if p, err = s.prepare(ctx, in.Config); err != nil {
			return fingerprint, err
		}
		return p.fingerprint, nil
	}, func(*compute) (*compute, error) {
		for _, warning := range p.compute.identity.Warnings {
			s.log.Warn(warning)
		}
		s.log.Info("Azure Resource Manager is used", "endpoint", p.compute.manager.Endpoint(), "identity", p.compute.manager.Token().String())
		return p.compute, nil
	})
	return sdk.InitResult{}, err
}

// prepared is what a configuration and its files lead to.
type prepared struct {
	compute     *compute
	fingerprint locationstate.Fingerprint
}

// prepare checks a configuration, reads its files and builds the client.
func (s *Snapshotter) prepare(ctx context.Context, configuration map[string]string) (*prepared, error) {
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
	transport, err := s.transports.For(set.trust)
	if err != nil {
		return nil, err
	}
	manager, err := identity.Manager(transport.Client())
	if err != nil {
		return nil, err
	}
	read := [][]byte{bundle, identity.Content[:]}
	for _, key := range configKeys() {
		read = append(read, []byte(os.Getenv(key.Env)))
	}
	return &prepared{
		compute:     &compute{settings: set, identity: identity, manager: manager, log: s.log, clock: s.clock, volumes: &s.volumes},
		fingerprint: locationstate.FingerprintOf(configuration, read...),
	}, nil
}

// VolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	name, err := s.volumes.idOf(in.PersistentVolume, s.log)
	return sdk.VolumeIDResult{VolumeID: name}, err
}
