package velerocompat

import (
	"context"
	"errors"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	snapshotterv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/volumesnapshotter/v1"
)

type volumeSnapshotter struct {
	*instance[snapshotterv1.VolumeSnapshotter]
}

func (v volumeSnapshotter) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.InitResult{}, err
	}
	return sdk.InitResult{}, snapshotter.Init(in.Config)
}

func (v volumeSnapshotter) CreateVolume(_ context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.CreateVolumeResult{}, err
	}
	if in.IOPS == 0 {
		id, err := snapshotter.CreateVolumeFromSnapshot(in.SnapshotID, in.VolumeType, in.Zone, nil)
		return sdk.CreateVolumeResult{VolumeID: id}, err
	}
	id, err := snapshotter.CreateVolumeFromSnapshot(in.SnapshotID, in.VolumeType, in.Zone, &in.IOPS)
	return sdk.CreateVolumeResult{VolumeID: id}, err
}

func (v volumeSnapshotter) VolumeInfo(_ context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.VolumeInfoResult{}, err
	}
	volumeType, iops, err := snapshotter.GetVolumeInfo(in.VolumeID, in.Zone)
	if iops == nil {
		iops = new(int64)
	}
	return sdk.VolumeInfoResult{VolumeType: volumeType, IOPS: *iops}, err
}

func (v volumeSnapshotter) CreateSnapshot(_ context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.CreateSnapshotResult{}, err
	}
	id, err := snapshotter.CreateSnapshot(in.VolumeID, in.Zone, in.Tags)
	return sdk.CreateSnapshotResult{SnapshotID: id}, err
}

func (v volumeSnapshotter) DeleteSnapshot(_ context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.DeleteSnapshotResult{}, err
	}
	return sdk.DeleteSnapshotResult{}, snapshotter.DeleteSnapshot(in.SnapshotID)
}

func (v volumeSnapshotter) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.VolumeIDResult{}, err
	}
	id, err := snapshotter.GetVolumeID(in.PersistentVolume)
	return sdk.VolumeIDResult{VolumeID: id}, err
}

func (v volumeSnapshotter) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	snapshotter, err := v.get()
	if err != nil {
		return sdk.SetVolumeIDResult{}, err
	}
	changed, err := snapshotter.SetVolumeID(in.PersistentVolume, in.VolumeID)
	if err != nil {
		return sdk.SetVolumeIDResult{}, err
	}
	if changed == nil {
		return sdk.SetVolumeIDResult{}, errors.New("SetVolumeID returned neither a persistent volume nor an error")
	}
	in.PersistentVolume.Object = changed.UnstructuredContent()
	return sdk.SetVolumeIDResult{}, nil
}
