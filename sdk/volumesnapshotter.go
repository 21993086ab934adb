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
	Init(ctx context.Context, in InitInput) (InitResult, error)

	// CreateVolume makes a volume from a snapshot and returns its id. Velero
	// calls the method CreateVolumeFromSnapshot.
	CreateVolume(ctx context.Context, in CreateVolumeInput) (CreateVolumeResult, error)

	// VolumeInfo returns the volume's type and IOPS. Velero calls the method
	// GetVolumeInfo.
	VolumeInfo(ctx context.Context, in VolumeInfoInput) (VolumeInfoResult, error)

	// CreateSnapshot starts a snapshot and returns its id.
	CreateSnapshot(ctx context.Context, in CreateSnapshotInput) (CreateSnapshotResult, error)

	// DeleteSnapshot removes a snapshot. An absent snapshot is success.
	DeleteSnapshot(ctx context.Context, in DeleteSnapshotInput) (DeleteSnapshotResult, error)

	// VolumeID returns the id of the volume behind a PersistentVolume, or ""
	// when the volume is not one of this snapshotter's. It does not change the
	// PersistentVolume. Velero calls the method GetVolumeID.
	VolumeID(ctx context.Context, in VolumeIDInput) (VolumeIDResult, error)

	// SetVolumeID edits in.PersistentVolume in place so that it uses
	// in.VolumeID.
	SetVolumeID(ctx context.Context, in SetVolumeIDInput) (SetVolumeIDResult, error)
}

// CreateVolumeInput is what VolumeSnapshotter.CreateVolume works on.
type CreateVolumeInput struct {
	SnapshotID string
	VolumeType string // as VolumeInfo returned it
	Zone       string // may be empty
	IOPS       int64
}

// CreateVolumeResult is the answer of VolumeSnapshotter.CreateVolume.
type CreateVolumeResult struct{ VolumeID string }

// VolumeInfoInput is what VolumeSnapshotter.VolumeInfo works on.
type VolumeInfoInput struct {
	VolumeID string
	Zone     string // may be empty
}

// VolumeInfoResult is the answer of VolumeSnapshotter.VolumeInfo.
type VolumeInfoResult struct {
	VolumeType string
	IOPS       int64
}

// CreateSnapshotInput is what VolumeSnapshotter.CreateSnapshot works on.
type CreateSnapshotInput struct {
	VolumeID string
	Zone     string            // may be empty
	Tags     map[string]string // labels of the backup and what Velero adds, such as velero.io/backup
}

// CreateSnapshotResult is the answer of VolumeSnapshotter.CreateSnapshot.
type CreateSnapshotResult struct{ SnapshotID string }

// DeleteSnapshotInput is what VolumeSnapshotter.DeleteSnapshot works on.
type DeleteSnapshotInput struct{ SnapshotID string }

// DeleteSnapshotResult is the empty answer of VolumeSnapshotter.DeleteSnapshot.
type DeleteSnapshotResult struct{}

// VolumeIDInput is what VolumeSnapshotter.VolumeID works on.
type VolumeIDInput struct{ PersistentVolume *unstructured.Unstructured }

// VolumeIDResult is the answer of VolumeSnapshotter.VolumeID.
type VolumeIDResult struct{ VolumeID string }

// SetVolumeIDInput is what VolumeSnapshotter.SetVolumeID works on.
type SetVolumeIDInput struct {
	PersistentVolume *unstructured.Unstructured // edited in place
	VolumeID         string
}

// SetVolumeIDResult is the empty answer of VolumeSnapshotter.SetVolumeID.
type SetVolumeIDResult struct{}
