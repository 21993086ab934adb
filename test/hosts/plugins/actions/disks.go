package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// disks snapshots disks that do not exist. Ids tell what they were made from.
type disks struct {
	class atomic.Pointer[string] // what every disk has as type; nil before Init
}

func (d *disks) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	class := in.Config["class"]
	if class == "" {
		return sdk.InitResult{}, errors.New("class is not set")
	}
	d.class.Store(&class)
	return sdk.InitResult{}, nil
}

func (d *disks) VolumeInfo(_ context.Context, in sdk.VolumeInfoInput) (sdk.VolumeInfoResult, error) {
	class := d.class.Load()
	if class == nil {
		return sdk.VolumeInfoResult{}, errors.New("the snapshotter is not initialised")
	}
	return sdk.VolumeInfoResult{VolumeType: fmt.Sprintf("%s in %s is %s", in.VolumeID, in.Zone, *class), IOPS: 1<<53 + 1}, nil
}

func (d *disks) CreateSnapshot(_ context.Context, in sdk.CreateSnapshotInput) (sdk.CreateSnapshotResult, error) {
	return sdk.CreateSnapshotResult{SnapshotID: fmt.Sprintf("snapshot of %s in %s for %s", in.VolumeID, in.Zone, in.Tags["velero.io/backup"])}, nil
}

func (d *disks) CreateVolume(_ context.Context, in sdk.CreateVolumeInput) (sdk.CreateVolumeResult, error) {
	return sdk.CreateVolumeResult{VolumeID: fmt.Sprintf("%s of %d from %s in %s", in.VolumeType, in.IOPS, in.SnapshotID, in.Zone)}, nil
}

func (d *disks) DeleteSnapshot(_ context.Context, in sdk.DeleteSnapshotInput) (sdk.DeleteSnapshotResult, error) {
	return sdk.DeleteSnapshotResult{}, fmt.Errorf("%s is locked", in.SnapshotID)
}

// handle is where a PersistentVolume has the id of its disk.
var handle = []string{"spec", "csi", "volumeHandle"}

func (d *disks) VolumeID(_ context.Context, in sdk.VolumeIDInput) (sdk.VolumeIDResult, error) {
	id, _, err := unstructured.NestedString(in.PersistentVolume.Object, handle...)
	return sdk.VolumeIDResult{VolumeID: id}, err
}

func (d *disks) SetVolumeID(_ context.Context, in sdk.SetVolumeIDInput) (sdk.SetVolumeIDResult, error) {
	return sdk.SetVolumeIDResult{}, unstructured.SetNestedField(in.PersistentVolume.Object, in.VolumeID, handle...)
}
