package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/gobwas/glob"
	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupClaim labels a claim with its UID and its machine, so that a restore can
// select one disk, or one machine with its disks.
func (a *actions) backupClaim(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	if in.Item.GetUID() == "" {
		return nil, nil
	}
	labelClaimUID(in.Item, string(in.Item.GetUID()), originalClaimUIDKey)
	f, err := a.filterOf(ctx, in.Backup)
	if err != nil {
		// Other actions have cut a snapshot by now, which an error would orphan.
		slog.Warn("a restore cannot select a claim by its virtual machine", "item", fields.Describe(in.Item), "error", err)
		return nil, nil
	}
	a.labelDisk(ctx, in.Backup, f, in.Item)
	return nil, nil
}

// labelClaimUID sets the label with the UID of a claim. A user's own value goes to
// an annotation.
func labelClaimUID(item *unstructured.Unstructured, uid, originalKey string) {
	if fields.HasLabel(item, claimUIDLabel) {
		fields.Annotate(item, originalKey, fields.Label(item, claimUIDLabel))
	}
	fields.SetLabel(item, claimUIDLabel, uid)
}

// removeClaimUID undoes labelClaimUID.
func removeClaimUID(item *unstructured.Unstructured, originalKey string) {
	if !fields.HasLabel(item, claimUIDLabel) {
		return
	}
	if fields.HasAnnotation(item, originalKey) {
		fields.SetLabel(item, claimUIDLabel, fields.Annotation(item, originalKey))
		fields.RemoveAnnotation(item, originalKey)
		return
	}
	fields.RemoveLabel(item, claimUIDLabel)
}

// restoreClaim restores a claim as one whose content is complete.
func restoreClaim(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	item, archived := in.Item, velero.BackedUp(in)
	if fields.HasAnnotation(archived, inProgressKey) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	removeClaimUID(item, originalClaimUIDKey)
	removeMachine(item)
	if fields.TextAt(archived.Object, "status", "phase") == "Bound" {
		removeSource(item)
		if owner := ownerOf(archived, cdiGroup, "DataVolume"); owner != "" {
			if !fields.HasAnnotation(item, populatedForKey) {
				fields.Annotate(item, populatedForKey, owner)
			}
			warnOfContent(item, archived)
		}
	}
	if owner := fields.Label(item, stateForLabel); owner != "" && !r.restores("virtualmachines", "vm", "vms", "virtualmachine", "virtualmachines.kubevirt.io") {
		slog.Warn("the claim with the state of a virtual machine is restored without the machine", "item", fields.Describe(item), "virtualMachine", owner)
	}
	return sdk.RestoreResult{}, nil
}

// removeSource takes a reference to what CDI has filled the claim from off: with
// it the restored claim would wait for a source that is gone, or be filled again.
func removeSource(item *unstructured.Unstructured) {
	spec := fields.MapAt(item.Object, "spec")
	for _, field := range []string{"dataSource", "dataSourceRef"} {
		source := fields.MapAt(spec, field)
		group, name := fields.TextAt(source, "apiGroup"), fields.TextAt(source, "name")
		if group == cdiGroup || group == csiGroup && strings.HasPrefix(name, "cdi-tmp-") {
			slog.Warn("the claim is restored without the reference to the source that CDI has filled it from, since it has its content",
				"item", fields.Describe(item), "field", "spec."+field, "source", fields.TextAt(source, "kind")+" "+name)
			delete(spec, field)
		}
	}
}

// warnOfContent says that nothing in the backup tells where the content of a disk
// comes from, while CDI is told that the disk is complete.
func warnOfContent(item, archived *unstructured.Unstructured) {
	for key := range fields.MapAt(archived.Object, "metadata", "annotations") {
		if key == volumeSnapshotNameKey || key == dataUploadNameKey || strings.HasPrefix(key, otherDataMoverPrefix) {
			return
		}
	}
	slog.Warn("the backup has no CSI snapshot of the disk: if its volume is not restored in another way, such as a native snapshot, the disk will be empty",
		"item", fields.Describe(item))
}

// restores reports whether the Restore restores a resource that goes by any of
// the names.
func (r *restoreSpec) restores(names ...string) bool {
	has := func(patterns []string) bool {
		for _, pattern := range patterns {
			compiled, err := glob.Compile(pattern)
			for _, name := range names {
				if err == nil && compiled.Match(name) {
					return true
				}
			}
		}
		return false
	}
	return (len(r.Spec.IncludedResources) == 0 || has(r.Spec.IncludedResources)) && !has(r.Spec.ExcludedResources)
}

// backupVolumeSnapshot labels a snapshot as its claim is labelled.
func (a *actions) backupVolumeSnapshot(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	item, namespace := in.Item, in.Item.GetNamespace()
	name := fields.TextAt(item.Object, "spec", "source", "persistentVolumeClaimName")
	if name == "" {
		return nil, nil
	}
	c, exists, err := a.findClaim(ctx, in.Backup, namespace, name)
	if err != nil {
		slog.Warn("a restore cannot select a snapshot by its claim", "item", fields.Describe(item), "error", err)
	}
	if !exists || c.uid == "" {
		return nil, nil
	}
	labelClaimUID(item, c.uid, originalSnapshotUIDKey)
	return nil, nil
}

func restoreVolumeSnapshot(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	removeClaimUID(in.Item, originalSnapshotUIDKey)
	return sdk.RestoreResult{}, nil
}
