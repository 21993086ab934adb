package main

import (
	"context"
	"errors"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PersistentVolumes and their claims are touched in migrations only.

const reclaimRetain = "Retain"

var reclaimPolicy = []string{"spec", "persistentVolumeReclaimPolicy"}

// backupVolume keeps the data of a volume that is moved, when its claim goes.
func (a *actions) backupVolume(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	t, err := velero.BackupOf(b)
	if err != nil || !api.Migration(t.Metadata.Labels) {
		return sdk.BackupResult{}, err
	}
	live, err := a.cluster.Get(ctx, api.Volumes, "", item.GetName())
	if err != nil {
		return sdk.BackupResult{}, err
	}
	if live == nil {
		return sdk.BackupResult{}, errors.New("the volume is gone from the cluster")
	}
	// The item is what Velero has listed, and may be older than the volume: what an
	// earlier backup has changed meanwhile is in the latter only.
	policy, livePolicy := fields.TextAt(item.Object, reclaimPolicy...), fields.TextAt(live.Object, reclaimPolicy...)
	if policy == reclaimRetain {
		policy = livePolicy
	}
	if fields.Annotation(live, api.MigrateTypeKey) != "move" || policy == reclaimRetain {
		return sdk.BackupResult{}, nil
	}
	if livePolicy != reclaimRetain || fields.Annotation(live, api.OriginalPolicyKey) != policy {
		err = a.retain(ctx, item.GetName(), policy)
	}
	if err != nil {
		return sdk.BackupResult{}, err
	}
	fields.Annotate(item, api.OriginalPolicyKey, policy)
	if spec := fields.Child(item.Object, "spec"); spec != nil {
		spec["persistentVolumeReclaimPolicy"] = reclaimRetain
	}
	return sdk.BackupResult{}, nil
}

// retain lets the data of a volume outlive its claim, and notes its own policy.
func (a *actions) retain(ctx context.Context, name, policy string) error {
	return a.cluster.Patch(ctx, api.Volumes, "", name, fields.Map{
		"metadata": fields.Map{"annotations": fields.Map{api.OriginalPolicyKey: policy}},
		"spec":     fields.Map{"persistentVolumeReclaimPolicy": reclaimRetain},
	})
}

func (a *actions) restoreVolume(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil || !api.Migration(r.Metadata.Labels) || fields.Annotation(in.Item, api.MigrateTypeKey) != "copy" {
		return sdk.RestoreResult{}, err
	}
	if stagedBySnapshot(r, in.Item) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	setClass(in.Item)
	return sdk.RestoreResult{}, nil
}

// stagedBySnapshot reports whether the data of a volume follows in the final
// migration.
func stagedBySnapshot(r *velero.Restore, item *unstructured.Unstructured) bool {
	return r.Metadata.Annotations[api.MigrationTypeKey] == "stage" && r.Metadata.Labels[api.StageRestoreLabel] != "" &&
		fields.Annotation(item, api.CopyMethodKey) == "snapshot"
}

// setClass sets the storage class that the migration has chosen, which may be
// none.
func setClass(item *unstructured.Unstructured) {
	class := fields.Annotation(item, api.TargetClassKey)
	if spec := fields.Child(item.Object, "spec"); spec != nil {
		spec["storageClassName"] = class
	}
	if fields.HasAnnotation(item, api.BetaClassKey) {
		fields.Annotate(item, api.BetaClassKey, class)
	}
}
