package main

import (
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
)

// volumeSnapshotter is registered, as the plugin that is measured against registers
// one. The benchmarks do not call it.
type volumeSnapshotter struct{}

var errNotMeasured = errors.New("the benchmarks take no snapshots")

func (*volumeSnapshotter) Init(map[string]string) error { return nil }

func (*volumeSnapshotter) CreateVolumeFromSnapshot(string, string, string, *int64) (string, error) {
	return "", errNotMeasured
}

func (*volumeSnapshotter) GetVolumeInfo(string, string) (string, *int64, error) {
	return "", nil, errNotMeasured
}

func (*volumeSnapshotter) CreateSnapshot(string, string, map[string]string) (string, error) {
	return "", errNotMeasured
}

func (*volumeSnapshotter) DeleteSnapshot(string) error { return errNotMeasured }

func (*volumeSnapshotter) GetVolumeID(runtime.Unstructured) (string, error) {
	return "", errNotMeasured
}

func (*volumeSnapshotter) SetVolumeID(runtime.Unstructured, string) (runtime.Unstructured, error) {
	return nil, errNotMeasured
}
