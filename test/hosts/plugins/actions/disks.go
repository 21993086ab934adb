package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// disks snapshots disks that do not exist. Ids tell what they were made from.
type disks struct {
	class atomic.Pointer[string] // what every disk has as type; nil before Init
}

func (d *disks) Init(_ context.Context, config map[string]string) error {
	class := config["class"]
	if class == "" {
		return errors.New("class is not set")
	}
	d.class.Store(&class)
	return nil
}

func (d *disks) GetVolumeInfo(_ context.Context, volumeID, zone string) (string, int64, error) {
	class := d.class.Load()
	if class == nil {
		return "", 0, errors.New("the snapshotter is not initialised")
	}
	return fmt.Sprintf("%s in %s is %s", volumeID, zone, *class), 1<<53 + 1, nil
}

func (d *disks) CreateSnapshot(_ context.Context, volumeID, zone string, tags map[string]string) (string, error) {
	return fmt.Sprintf("snapshot of %s in %s for %s", volumeID, zone, tags["velero.io/backup"]), nil
}

func (d *disks) CreateVolumeFromSnapshot(_ context.Context, snapshotID, volumeType, zone string, iops int64) (string, error) {
	return fmt.Sprintf("%s of %d from %s in %s", volumeType, iops, snapshotID, zone), nil
}

func (d *disks) DeleteSnapshot(_ context.Context, snapshotID string) error {
	return fmt.Errorf("%s is locked", snapshotID)
}

// handle is where a PersistentVolume has the id of its disk.
var handle = []string{"spec", "csi", "volumeHandle"}

func (d *disks) GetVolumeID(_ context.Context, pv *unstructured.Unstructured) (string, error) {
	id, _, err := unstructured.NestedString(pv.Object, handle...)
	return id, err
}

func (d *disks) SetVolumeID(_ context.Context, pv *unstructured.Unstructured, volumeID string) error {
	return unstructured.SetNestedField(pv.Object, volumeID, handle...)
}
