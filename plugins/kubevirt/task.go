package main

import (
	"fmt"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// backupSpec is what the actions read of a Backup.
type backupSpec struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		IncludedNamespaces, ExcludedNamespaces                             []string
		IncludeClusterResources                                            *bool
		IncludedResources, ExcludedResources                               []string
		IncludedNamespaceScopedResources, ExcludedNamespaceScopedResources []string
		ResourcePolicy                                                     *struct{ Kind, Name string }
		DefaultVolumesToFsBackup                                           bool
		VolumeGroupSnapshotLabelKey                                        string
	}
}

func backupOf(b sdk.Backup) (*backupSpec, error) {
	spec, err := sdk.Decode[backupSpec](b)
	if err != nil {
		return nil, fmt.Errorf("the Backup that Velero sent: %w", err)
	}
	return spec, nil
}

// metadataOnly reports whether the backup is to hold objects whose disks are
// saved in another way.
func (b *backupSpec) metadataOnly() bool { return isOn(b.Metadata.Labels, metadataBackupLabel) }

// volumeGroupLabel is the label of claims whose snapshots are cut together.
func (b *backupSpec) volumeGroupLabel() string {
	if b.Spec.VolumeGroupSnapshotLabelKey != "" {
		return b.Spec.VolumeGroupSnapshotLabelKey
	}
	return defaultVolumeGroupLabel
}

// restoreSpec is what the actions read of a Restore.
type restoreSpec struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		NamespaceMapping                     map[string]string
		ExistingResourcePolicy               string
		IncludedResources, ExcludedResources []string
	}
}

func restoreOf(r sdk.Restore) (*restoreSpec, error) {
	spec, err := sdk.Decode[restoreSpec](r)
	if err != nil {
		return nil, fmt.Errorf("the Restore that Velero sent: %w", err)
	}
	return spec, nil
}

func (r *restoreSpec) isOn(label string) bool { return isOn(r.Metadata.Labels, label) }

// isOn reports whether a label is there with another value than "false".
func isOn(labels map[string]string, key string) bool {
	value, ok := labels[key]
	return ok && !strings.EqualFold(value, "false")
}

// key returns the key under which what was looked up for a backup is kept.
func key(b sdk.Backup, parts ...string) string {
	return strings.Join(append([]string{b.UID(), b.Name()}, parts...), "/")
}
