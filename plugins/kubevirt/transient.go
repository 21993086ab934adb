package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// transientResources are requests to do something once. Restored, they would be
// carried out again.
var transientResources = []string{
	"virtualmachineinstancemigrations." + kubevirtGroup,
	"virtualmachineclones." + cloneGroup,
	"virtualmachinerestores." + snapshotGroup,
	"virtualmachineexports." + exportGroup,
	"virtualmachinebackups." + backupGroup,
	"virtualmachinebackuptrackers." + backupGroup,
	"virtualmachinetemplaterequests." + templateGroup,
}

// restoreTransient leaves requests out, unless the Restore asks for them: then
// what they refer to is restored before them.
func restoreTransient(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	if r.isOn(restoreTransientLabel) {
		return sdk.RestoreResult{AdditionalItems: referredTo(in.Item.GetKind(), velero.BackedUp(in).Object)}, nil
	}
	slog.Info("a request that was carried out before the backup is not restored", "item", fields.Describe(in.Item))
	return sdk.RestoreResult{Skip: true}, nil
}
