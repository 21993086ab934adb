package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreWorkload is for everything whose pods have their template in
// spec.template.
func (a *actions) restoreWorkload(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return a.swapTemplate(ctx, in, "spec", "template", "spec")
}

// swapTemplate swaps the images of the pod spec at a path of the item.
func (a *actions) swapTemplate(ctx context.Context, in sdk.RestoreInput, path ...string) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	spec := fields.MapAt(in.Item.Object, path...)
	result := sdk.RestoreResult{AdditionalItems: a.streamsOf(r, in.Item, spec)}
	a.swapFor(ctx, r, in.Item).podSpec(spec)
	return result, nil
}
