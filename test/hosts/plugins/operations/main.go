// Operations is a plugin whose actions go on after their answer, which Velero
// 1.10 does not know.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func main() {
	p := sdk.New("velero-plugin-operations", "test")
	p.BackupItemAction("example.io/export", func(sdk.Host) (sdk.BackupItemAction, error) { return export{}, nil })
	p.RestoreItemAction("example.io/import", func(sdk.Host) (sdk.RestoreItemAction, error) { return imports{}, nil })
	p.Main()
}

// begin is when every operation has begun.
func begin() time.Time { return time.Date(2024, time.February, 29, 12, 0, 0, 123456789, time.UTC) }

func archive(name string) sdk.ResourceIdentifier {
	return sdk.ResourceIdentifier{Group: "example.io", Resource: "archives", Namespace: "shop", Name: name}
}

// export begins an operation for each item.
type export struct{}

func (export) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{}, nil
}

func (export) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	return sdk.BackupResult{
		OperationID:        "export of " + in.Item.GetName(),
		PostOperationItems: []sdk.ResourceIdentifier{archive(in.Item.GetName())},
	}, nil
}

func (export) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	return sdk.Progress{
		Done: 1<<53 + 1, Total: 1<<53 + 3, Units: "bytes", Description: in.ID,
		Started: begin(), Updated: begin().Add(time.Minute),
	}, nil
}

func (export) CancelBackup(_ context.Context, in sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, fmt.Errorf("%s is done already", in.ID)
}

// imports begins an operation for each item and waits for its archive.
type imports struct{}

func (imports) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{}, nil
}

func (imports) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{
		AdditionalItems:        []sdk.ResourceIdentifier{archive(in.Item.GetName())},
		OperationID:            "import of " + in.Item.GetName(),
		WaitForAdditionalItems: true,
		AdditionalItemsTimeout: 90 * time.Second,
	}, nil
}

func (imports) RestoreProgress(_ context.Context, in sdk.RestoreOperation) (sdk.Progress, error) {
	return sdk.Progress{Completed: true, Err: in.ID + " has failed"}, nil
}

func (imports) CancelRestore(context.Context, sdk.RestoreOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, nil
}

// ItemsReady is true for the one archive that Restore has named.
func (imports) ItemsReady(_ context.Context, in sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	return sdk.ItemsReadyResult{Ready: len(in.Items) == 1 && in.Items[0] == archive(in.Items[0].Name)}, nil
}
