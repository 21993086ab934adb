// Package snapshots has what the volume snapshotters of all clouds share. Each
// folder below it holds the snapshotter of one cloud.
package snapshots

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/locationstate"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Cloud makes snapshots and volumes in one cloud, with one configuration. It does
// not change after it was made, so calls may run at the same time.
type Cloud interface {
	VolumeInfo(ctx context.Context, volumeID string) (sdk.VolumeInfoResult, error)
	// CreateSnapshot takes a snapshot and gives it the tags that Velero asks for,
	// besides those of the volume and of the configuration.
	CreateSnapshot(ctx context.Context, volumeID string, tags map[string]string) (snapshotID string, err error)
	// DeleteSnapshot returns nil when there is no such snapshot.
	DeleteSnapshot(ctx context.Context, snapshotID string) error
	// CreateVolume waits for the snapshot to be complete and for the volume to exist.
	CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (volumeID string, err error)
	// SetVolumeID makes a PersistentVolume refer to another volume.
	SetVolumeID(pv *unstructured.Unstructured, volumeID string) error
}

// Delegate is the part of an [sdk.VolumeSnapshotter] that passes Velero's calls on to
// the [Cloud] of the last Init that succeeded. A snapshotter embeds it and adds two
// methods: Init, which stores the Cloud in Current, and VolumeID, which needs none.
type Delegate[T any, C interface {
	*T
	Cloud
}] struct {
	Current  locationstate.Current[T]
	NotReady fault.Code // of the error for a call before the first Init
}

func (d *Delegate[T, C]) cloud() (Cloud, error) {
	current, err := d.Current.Need("the snapshotter", d.NotReady)
	if err != nil {
		return nil, err
	}
	return C(current), nil
}

// VolumeInfo implements sdk.VolumeSnapshotter.
func (d *Delegate[T, C]) VolumeInfo(ctx context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	cloud, err := d.cloud()
	if err != nil {
		return sdk.VolumeInfoResult{}, err
	}
	return cloud.VolumeInfo(ctx, in.VolumeID)
}

// CreateSnapshot implements sdk.VolumeSnapshotter.
func (d *Delegate[T, C]) CreateSnapshot(ctx context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	cloud, err := d.cloud()
	if err != nil {
		return sdk.CreateSnapshotResult{}, err
	}
	id, err := cloud.CreateSnapshot(ctx, in.VolumeID, in.Tags)
	return sdk.CreateSnapshotResult{SnapshotID: id}, err
}

// DeleteSnapshot implements sdk.VolumeSnapshotter. Velero calls it without an id
// for a snapshot that could not be created.
func (d *Delegate[T, C]) DeleteSnapshot(ctx context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	cloud, err := d.cloud()
	if err != nil || in.SnapshotID == "" {
		return sdk.DeleteSnapshotResult{}, err
	}
	return sdk.DeleteSnapshotResult{}, cloud.DeleteSnapshot(ctx, in.SnapshotID)
}

// CreateVolume implements sdk.VolumeSnapshotter.
func (d *Delegate[T, C]) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	cloud, err := d.cloud()
	if err != nil {
		return sdk.CreateVolumeResult{}, err
	}
	id, err := cloud.CreateVolume(ctx, in)
	return sdk.CreateVolumeResult{VolumeID: id}, err
}

// SetVolumeID implements sdk.VolumeSnapshotter.
func (d *Delegate[T, C]) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	cloud, err := d.cloud()
	if err != nil {
		return sdk.SetVolumeIDResult{}, err
	}
	return sdk.SetVolumeIDResult{}, cloud.SetVolumeID(in.PersistentVolume, in.VolumeID)
}

// Clock is the time, which tests do not want to wait for.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with the cause, when ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// MachineClock is the time of the machine.
type MachineClock struct{}

// Now implements Clock.
func (MachineClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (MachineClock) Sleep(ctx context.Context, d time.Duration) error { return endpoint.Sleep(ctx, d) }
