package main

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// volumeSnapshotter has no disks: its answers say what it was asked.
type volumeSnapshotter struct{ config map[string]string }

func newVolumeSnapshotter(logrus.FieldLogger) (any, error) { return &volumeSnapshotter{}, nil }

func (v *volumeSnapshotter) Init(config map[string]string) error {
	v.config = config
	return nil
}

func (v *volumeSnapshotter) CreateVolumeFromSnapshot(snapshotID, volumeType, volumeAZ string, iops *int64) (string, error) {
	if iops == nil {
		return fmt.Sprintf("%s of %s in %q without iops", volumeType, snapshotID, volumeAZ), nil
	}
	return fmt.Sprintf("%s of %s in %q with %d iops", volumeType, snapshotID, volumeAZ, *iops), nil
}

func (v *volumeSnapshotter) GetVolumeID(pv runtime.Unstructured) (string, error) {
	id, _, err := unstructured.NestedString(pv.UnstructuredContent(), "spec", "csi", "volumeHandle")
	return id, err
}

func (v *volumeSnapshotter) SetVolumeID(pv runtime.Unstructured, volumeID string) (runtime.Unstructured, error) {
	if volumeID == "" {
		return nil, nil
	}
	return pv, unstructured.SetNestedField(pv.UnstructuredContent(), volumeID, "spec", "csi", "volumeHandle")
}

func (v *volumeSnapshotter) GetVolumeInfo(volumeID, volumeAZ string) (string, *int64, error) {
	iops := int64(len(volumeAZ))
	if iops == 0 {
		return "slow " + volumeID, nil, nil
	}
	return "fast " + volumeID, &iops, nil
}

func (v *volumeSnapshotter) CreateSnapshot(volumeID, volumeAZ string, tags map[string]string) (string, error) {
	return fmt.Sprint(v.config, volumeID, volumeAZ, tags), nil
}

func (v *volumeSnapshotter) DeleteSnapshot(snapshotID string) error {
	if snapshotID == "locked" {
		return errors.New("the snapshot is locked")
	}
	return nil
}
