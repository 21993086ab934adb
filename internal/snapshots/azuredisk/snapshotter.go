package azuredisk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Snapshotter is an [sdk.VolumeSnapshotter] for managed disks.
type Snapshotter struct {
	log        *slog.Logger
	clock      clock
	transports endpoint.Transports
	volumes    volumes

	init    sync.Mutex // held by Init
	current atomic.Pointer[compute]
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

// compute is Azure as one configuration reaches it. It does not change, but for
// what it has warned of.
type compute struct {
	settings
	identity    azureaccess.Identity
	manager     *azureaccess.Manager
	fingerprint [sha256.Size]byte
	log         *slog.Logger
	clock       clock
	volumes     *volumes

	groupWarning sync.Once
}

// Init implements sdk.VolumeSnapshotter. It makes no request. With the
// configuration and the credentials that it had before it returns at once.
func (s *Snapshotter) Init(ctx context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	s.init.Lock()
	defer s.init.Unlock()
	p, err := s.prepare(ctx, in.Config)
	if err != nil {
		return sdk.InitResult{}, err
	}
	if previous := s.current.Load(); previous != nil && previous.fingerprint == p.fingerprint {
		return sdk.InitResult{}, nil
	}
	for _, warning := range p.identity.Warnings {
		s.log.Warn(warning)
	}
	s.log.Info("Azure Resource Manager is used", "endpoint", p.manager.Endpoint(), "identity", p.manager.Token().String())
	s.current.Store(p)
	return sdk.InitResult{}, nil
}

// prepare checks a configuration, reads its files and builds the client.
func (s *Snapshotter) prepare(ctx context.Context, configuration map[string]string) (*compute, error) {
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
	c := &compute{settings: set, identity: identity, manager: manager, log: s.log, clock: s.clock, volumes: &s.volumes}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(configuration)) {
		fmt.Fprintf(sum, "%q=%q\n", name, configuration[name])
	}
	for _, key := range configKeys() {
		fmt.Fprintf(sum, "%q=%q\n", key.Env, os.Getenv(key.Env))
	}
	fmt.Fprintf(sum, "%x %x\n", sha256.Sum256(bundle), identity.Content)
	sum.Sum(c.fingerprint[:0])
	return c, nil
}

// compute returns the state of the last Init that succeeded.
func (s *Snapshotter) compute() (*compute, error) {
	if c := s.current.Load(); c != nil {
		return c, nil
	}
	return nil, &fault.Error{Code: CodeNotReady, What: "the snapshotter was used before its configuration"}
}

// VolumeInfo implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeInfo(ctx context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	c, err := s.compute()
	if err != nil {
		return sdk.VolumeInfoResult{}, err
	}
	return c.volumeInfo(ctx, in.VolumeID)
}

// CreateSnapshot implements sdk.VolumeSnapshotter.
func (s *Snapshotter) CreateSnapshot(ctx context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	c, err := s.compute()
	if err != nil {
		return sdk.CreateSnapshotResult{}, err
	}
	id, err := c.createSnapshot(ctx, in.VolumeID, in.Tags)
	return sdk.CreateSnapshotResult{SnapshotID: id}, err
}

// DeleteSnapshot implements sdk.VolumeSnapshotter. Velero calls it without an id
// for a snapshot that could not be created.
func (s *Snapshotter) DeleteSnapshot(ctx context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	c, err := s.compute()
	if err != nil || in.SnapshotID == "" {
		return sdk.DeleteSnapshotResult{}, err
	}
	return sdk.DeleteSnapshotResult{}, c.deleteSnapshot(ctx, in.SnapshotID)
}

// CreateVolume implements sdk.VolumeSnapshotter. It waits for the snapshot to be
// complete, and for the disk to be there.
func (s *Snapshotter) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	c, err := s.compute()
	if err != nil {
		return sdk.CreateVolumeResult{}, err
	}
	name, err := c.createDisk(ctx, in)
	return sdk.CreateVolumeResult{VolumeID: name}, err
}

// VolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	name, err := s.volumes.idOf(in.PersistentVolume, s.log)
	return sdk.VolumeIDResult{VolumeID: name}, err
}

// SetVolumeID implements sdk.VolumeSnapshotter.
func (s *Snapshotter) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	c, err := s.compute()
	if err != nil {
		return sdk.SetVolumeIDResult{}, err
	}
	return sdk.SetVolumeIDResult{}, c.setVolumeID(in.PersistentVolume, in.VolumeID)
}

// clock is the time, which tests do not want to wait for.
type clock interface {
	Now() time.Time
	// Sleep returns early, with the cause, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, d time.Duration) error { return endpoint.Sleep(ctx, d) }
