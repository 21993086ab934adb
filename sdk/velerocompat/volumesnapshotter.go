package velerocompat

import (
	"context"
	"errors"

	snapshotterv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/volumesnapshotter/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type volumeSnapshotter struct {
	*instance[snapshotterv1.VolumeSnapshotter]
}

func (v volumeSnapshotter) Init(_ context.Context, config map[string]string) error {
	snapshotter, err := v.get()
	if err != nil {
		return err
	}
	return snapshotter.Init(config)
}

func (v volumeSnapshotter) CreateVolumeFromSnapshot(_ context.Context, snapshotID, volumeType, zone string, iops int64) (string, error) {
	snapshotter, err := v.get()
	if err != nil {
		return "", err
	}
	if iops == 0 {
		return snapshotter.CreateVolumeFromSnapshot(snapshotID, volumeType, zone, nil)
	}
	return snapshotter.CreateVolumeFromSnapshot(snapshotID, volumeType, zone, &iops)
}

func (v volumeSnapshotter) GetVolumeInfo(_ context.Context, volumeID, zone string) (string, int64, error) {
	snapshotter, err := v.get()
	if err != nil {
		return "", 0, err
	}
	volumeType, iops, err := snapshotter.GetVolumeInfo(volumeID, zone)
	if iops == nil {
		iops = new(int64)
	}
	return volumeType, *iops, err
}

func (v volumeSnapshotter) CreateSnapshot(_ context.Context, volumeID, zone string, tags map[string]string) (string, error) {
	snapshotter, err := v.get()
	if err != nil {
		return "", err
	}
	return snapshotter.CreateSnapshot(volumeID, zone, tags)
}

func (v volumeSnapshotter) DeleteSnapshot(_ context.Context, snapshotID string) error {
	snapshotter, err := v.get()
	if err != nil {
		return err
	}
	return snapshotter.DeleteSnapshot(snapshotID)
}

func (v volumeSnapshotter) GetVolumeID(_ context.Context, pv *unstructured.Unstructured) (string, error) {
	snapshotter, err := v.get()
	if err != nil {
		return "", err
	}
	return snapshotter.GetVolumeID(pv)
}

func (v volumeSnapshotter) SetVolumeID(_ context.Context, pv *unstructured.Unstructured, volumeID string) error {
	snapshotter, err := v.get()
	if err != nil {
		return err
	}
	changed, err := snapshotter.SetVolumeID(pv, volumeID)
	if err != nil {
		return err
	}
	if changed == nil {
		return errors.New("SetVolumeID returned neither a persistent volume nor an error")
	}
	pv.Object = changed.UnstructuredContent()
	return nil
}
