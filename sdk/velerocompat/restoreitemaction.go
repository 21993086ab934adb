package velerocompat

import (
	"context"
	"errors"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	restorev1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/restoreitemaction/v1"
)

type restoreItemAction struct {
	action[restorev1.RestoreItemAction]
}

// Restore leaves out what only version 2 of the protocol can answer.
func (r restoreItemAction) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	impl, typed, err := r.forRestore(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	out, err := execute(impl, in, typed)
	return sdk.RestoreResult{Skip: out.SkipRestore, AdditionalItems: fromVelero(out.AdditionalItems)}, err
}

// execute calls an action of either version.
func execute(impl restorev1.RestoreItemAction, in sdk.RestoreInput, restore *velerov1.Restore) (velero.RestoreItemActionExecuteOutput, error) {
	var none velero.RestoreItemActionExecuteOutput
	fromBackup, err := in.FromBackup.Object()
	if err != nil {
		return none, fmt.Errorf("the item from the backup: %w", err)
	}
	out, err := impl.Execute(&velero.RestoreItemActionExecuteInput{
		Item:           in.Item.DeepCopy(),
		ItemFromBackup: fromBackup,
		Restore:        restore,
	})
	switch {
	case err != nil:
		return none, err
	case out == nil:
		return none, errors.New("the action returned neither an output nor an error")
	}
	replace(in.Item, out.UpdatedItem)
	return *out, nil
}

// restoreV2 is version 2 of Velero's interface, whose package links what that
// of backupV2 does.
type restoreV2 interface {
	restorev1.RestoreItemAction
	Progress(operationID string, restore *velerov1.Restore) (velero.OperationProgress, error)
	Cancel(operationID string, restore *velerov1.Restore) error
	AreAdditionalItemsReady(additional []velero.ResourceIdentifier, restore *velerov1.Restore) (bool, error)
}

type restoreItemActionV2 struct{ action[restoreV2] }

func (r restoreItemActionV2) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	impl, typed, err := r.forRestore(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	out, err := execute(impl, in, typed)
	return sdk.RestoreResult{
		Skip:                   out.SkipRestore,
		AdditionalItems:        fromVelero(out.AdditionalItems),
		OperationID:            out.OperationID,
		WaitForAdditionalItems: out.WaitForAdditionalItems,
		AdditionalItemsTimeout: out.AdditionalItemsReadyTimeout,
	}, err
}

func (r restoreItemActionV2) RestoreProgress(_ context.Context, in sdk.RestoreOperation) (sdk.Progress, error) {
	impl, typed, err := r.forRestore(in.Restore)
	if err != nil {
		return sdk.Progress{}, err
	}
	p, err := impl.Progress(in.ID, typed)
	return progress(p), err
}

func (r restoreItemActionV2) CancelRestore(_ context.Context, in sdk.RestoreOperation) (sdk.CancelResult, error) {
	impl, typed, err := r.forRestore(in.Restore)
	if err != nil {
		return sdk.CancelResult{}, err
	}
	return sdk.CancelResult{}, impl.Cancel(in.ID, typed)
}

func (r restoreItemActionV2) ItemsReady(_ context.Context, in sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	impl, typed, err := r.forRestore(in.Restore)
	if err != nil {
		return sdk.ItemsReadyResult{}, err
	}
	ready, err := impl.AreAdditionalItemsReady(toVelero(in.Items), typed)
	return sdk.ItemsReadyResult{Ready: ready}, err
}
