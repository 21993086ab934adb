package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreWorkload is for everything whose pods have their template in
// spec.template.
func (a *actions) restoreWorkload(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return swapTemplate(in, "spec", "template", "spec")
}

// swapTemplate swaps the images of the pod spec at a path of the item.
func swapTemplate(in sdk.RestoreInput, path ...string) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	swapFor(in.Item, r).podSpec(fieldsAt(in.Item.Object, path...))
	return sdk.RestoreResult{}, nil
}
