package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreVolumeClaim fits a claim of a migration to the volume that it gets.
func (a *actions) restoreVolumeClaim(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil || !api.Migration(r.Metadata.Labels) {
		return sdk.RestoreResult{}, err
	}
	fields.RemoveAnnotation(in.Item, api.SelectedNodeKey)
	if fields.Annotation(in.Item, api.MigrateTypeKey) != "copy" {
		return sdk.RestoreResult{}, nil
	}
	if stagedBySnapshot(r, in.Item) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	setClass(in.Item)
	spec := fields.MapAt(in.Item.Object, "spec")
	delete(spec, "selector")
	if mode := fields.Annotation(in.Item, api.TargetAccessModeKey); mode != "" && spec != nil {
		spec["accessModes"] = []any{mode}
	}
	return sdk.RestoreResult{}, nil
}
