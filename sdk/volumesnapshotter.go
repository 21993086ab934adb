package sdk

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// VolumeSnapshotter takes and restores snapshots of native disks. All methods
// are called concurrently, also while Init runs again. IOPS of 0 mean that no
// value is known or wanted.
type VolumeSnapshotter interface {
	// Init takes the configuration of a volume snapshot location and the key
	// that Velero adds (see package location). It obeys the rules of
	// ObjectStore.Init; a restore calls it once for each volume.
	Init(ctx context.Context, config map[string]string) error

	// CreateVolumeFromSnapshot makes a volume and returns its id. zone may be
	// empty.
	CreateVolumeFromSnapshot(ctx context.Context, snapshotID, volumeType, zone string, iops int64) (volumeID string, err error)

	// GetVolumeInfo returns the volume's type and IOPS.
	GetVolumeInfo(ctx context.Context, volumeID, zone string) (volumeType string, iops int64, err error)

	// CreateSnapshot starts a snapshot with the given tags and returns its id.
	CreateSnapshot(ctx context.Context, volumeID, zone string, tags map[string]string) (snapshotID string, err error)

	// DeleteSnapshot removes a snapshot. An absent snapshot is success.
	DeleteSnapshot(ctx context.Context, snapshotID string) error

	// GetVolumeID returns the id of the volume behind a PersistentVolume, or ""
	// when the volume is not one of this snapshotter's. It does not change pv.
	GetVolumeID(ctx context.Context, pv *unstructured.Unstructured) (string, error)

	// SetVolumeID edits pv in place so that it uses volumeID.
	SetVolumeID(ctx context.Context, pv *unstructured.Unstructured, volumeID string) error
}
