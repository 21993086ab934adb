// Operations is a plugin whose actions go on after their answer, which Velero
// 1.10 does not know.
package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func main() {
	p := sdk.New("velero-plugin-operations", "test")
	p.BackupItemAction("example.io/export", export{})
	p.RestoreItemAction("example.io/import", imports{})
	p.Main()
}

// begin is when every operation has begun.
func begin() time.Time { return time.Date(2024, time.February, 29, 12, 0, 0, 123456789, time.UTC) }

func archive(name string) sdk.ResourceIdentifier {
	return sdk.ResourceIdentifier{Group: "example.io", Resource: "archives", Namespace: "shop", Name: name}
}

// export begins an operation for each item.
type export struct{}

func (export) AppliesTo(context.Context) (sdk.Selector, error) { return sdk.Selector{}, nil }

func (export) Backup(_ context.Context, item *unstructured.Unstructured, _ *sdk.Backup) (sdk.BackupResult, error) {
	return sdk.BackupResult{
		OperationID:        "export of " + item.GetName(),
		PostOperationItems: []sdk.ResourceIdentifier{archive(item.GetName())},
	}, nil
}

func (export) BackupProgress(_ context.Context, operation string, _ *sdk.Backup) (sdk.Progress, error) {
	return sdk.Progress{
		Done: 1<<53 + 1, Total: 1<<53 + 3, Units: "bytes", Description: operation,
		Started: begin(), Updated: begin().Add(time.Minute),
	}, nil
}

func (export) CancelBackup(_ context.Context, operation string, _ *sdk.Backup) error {
	return fmt.Errorf("%s is done already", operation)
}

// imports begins an operation for each item and waits for its archive.
type imports struct{}

func (imports) AppliesTo(context.Context) (sdk.Selector, error) { return sdk.Selector{}, nil }

func (imports) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{
		AdditionalItems:        []sdk.ResourceIdentifier{archive(in.Item.GetName())},
		OperationID:            "import of " + in.Item.GetName(),
		WaitForAdditionalItems: true,
		AdditionalItemsTimeout: 90 * time.Second,
	}, nil
}

func (imports) RestoreProgress(_ context.Context, operation string, _ *sdk.Restore) (sdk.Progress, error) {
	return sdk.Progress{Completed: true, Err: operation + " has failed"}, nil
}

func (imports) CancelRestore(context.Context, string, *sdk.Restore) error { return nil }

// ItemsReady is true for the one archive that Restore has named.
func (imports) ItemsReady(_ context.Context, items []sdk.ResourceIdentifier, _ *sdk.Restore) (bool, error) {
	return len(items) == 1 && items[0] == archive(items[0].Name), nil
}
