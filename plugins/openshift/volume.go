package main

import (
	"context"
	"errors"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Volumes and claims are touched in migrations only.

const reclaimRetain = "Retain"

// backupVolume keeps the data of a volume that is moved, when its claim goes.
func (a *actions) backupVolume(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	t, err := backupOf(b)
	if err != nil || !t.migration() {
		return sdk.BackupResult{}, err
	}
	live, err := a.cluster.Get(ctx, volumes, "", item.GetName())
	if err != nil {
		return sdk.BackupResult{}, err
	}
	if live == nil {
		return sdk.BackupResult{}, errors.New("the volume is gone from the cluster")
	}
	policy := textAt(live.Object, "spec", "persistentVolumeReclaimPolicy")
	if annotation(live, migrateTypeKey) != "move" || policy == reclaimRetain {
		return sdk.BackupResult{}, nil
	}
	err = a.cluster.Patch(ctx, volumes, "", item.GetName(), fields{
		"metadata": fields{"annotations": fields{originalPolicyKey: policy}},
		"spec":     fields{"persistentVolumeReclaimPolicy": reclaimRetain},
	})
	if err != nil {
		return sdk.BackupResult{}, err
	}
	annotate(item, originalPolicyKey, policy)
	if spec := child(item.Object, "spec"); spec != nil {
		spec["persistentVolumeReclaimPolicy"] = reclaimRetain
	}
	return sdk.BackupResult{}, nil
}

func (a *actions) restoreVolume(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil || !r.migration() || annotation(in.Item, migrateTypeKey) != "copy" {
		return sdk.RestoreResult{}, err
	}
	if stagedBySnapshot(r, in.Item) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	setClass(in.Item)
	return sdk.RestoreResult{}, nil
}

func (a *actions) restoreVolumeClaim(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil || !r.migration() {
		return sdk.RestoreResult{}, err
	}
	removeAnnotation(in.Item, selectedNodeKey)
	if annotation(in.Item, migrateTypeKey) != "copy" {
		return sdk.RestoreResult{}, nil
	}
	if stagedBySnapshot(r, in.Item) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	setClass(in.Item)
	spec := fieldsAt(in.Item.Object, "spec")
	delete(spec, "selector")
	if mode := annotation(in.Item, targetAccessModeKey); mode != "" && spec != nil {
		spec["accessModes"] = []any{mode}
	}
	return sdk.RestoreResult{}, nil
}

// stagedBySnapshot reports whether the data of a volume follows in the final
// migration.
func stagedBySnapshot(r *restore, item *unstructured.Unstructured) bool {
	return r.Metadata.Annotations[migrationTypeKey] == "stage" && r.Metadata.Labels[stageRestoreLabel] != "" &&
		annotation(item, copyMethodKey) == "snapshot"
}

// setClass sets the storage class that the migration has chosen, which may be
// none.
func setClass(item *unstructured.Unstructured) {
	class := annotation(item, targetClassKey)
	if spec := child(item.Object, "spec"); spec != nil {
		spec["storageClassName"] = class
	}
	if hasAnnotation(item, betaClassKey) {
		annotate(item, betaClassKey, class)
	}
}
