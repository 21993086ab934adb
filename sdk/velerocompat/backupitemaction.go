package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
	backupv1 "github.com/vmware-tanzu/velero/pkg/plugin/velero/backupitemaction/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

type backupItemAction struct {
	action[backupv1.BackupItemAction]
}

func (b backupItemAction) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	impl, typed, err := b.forBackup(in.Backup)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	updated, additional, err := impl.Execute(in.Item.DeepCopy(), typed)
	replace(in.Item, updated)
	return sdk.BackupResult{AdditionalItems: fromVelero(additional)}, err
}

// backupV2 is version 2 of Velero's interface. The package that it is from
// links the client of an error reporting service.
type backupV2 interface {
	velero.Applicable
	Execute(item runtime.Unstructured, backup *velerov1.Backup) (updated runtime.Unstructured,
		additional []velero.ResourceIdentifier, operationID string, postOperation []velero.ResourceIdentifier, err error)
	Progress(operationID string, backup *velerov1.Backup) (velero.OperationProgress, error)
	Cancel(operationID string, backup *velerov1.Backup) error
}

type backupItemActionV2 struct{ action[backupV2] }

func (b backupItemActionV2) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	impl, typed, err := b.forBackup(in.Backup)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	updated, additional, operationID, postOperation, err := impl.Execute(in.Item.DeepCopy(), typed)
	replace(in.Item, updated)
	return sdk.BackupResult{
		AdditionalItems:    fromVelero(additional),
		OperationID:        operationID,
		PostOperationItems: fromVelero(postOperation),
	}, err
}

func (b backupItemActionV2) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	impl, typed, err := b.forBackup(in.Backup)
	if err != nil {
		return sdk.Progress{}, err
	}
	p, err := impl.Progress(in.ID, typed)
	return progress(p), err
}

func (b backupItemActionV2) CancelBackup(_ context.Context, in sdk.BackupOperation) (sdk.CancelResult, error) {
	impl, typed, err := b.forBackup(in.Backup)
	if err != nil {
		return sdk.CancelResult{}, err
	}
	return sdk.CancelResult{}, impl.Cancel(in.ID, typed)
}
