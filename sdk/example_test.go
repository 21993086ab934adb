package sdk_test

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// stamp writes on each claim at which location it was backed up.
func stamp(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	annotations := in.Item.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["example.io/location"] = in.Backup.StorageLocation()
	in.Item.SetAnnotations(annotations)
	return sdk.BackupResult{}, nil
}

func ExampleNew() {
	p := sdk.New("velero-plugin-for-example", "v1.0.0")
	p.BackupItemAction("example.io/stamp", sdk.BackupFuncs{
		Selector: sdk.Selector{IncludedResources: []string{"persistentvolumeclaims"}},
		Backup:   stamp,
	}.New)
	// p.Main() serves the plugin to Velero.
}

func ExampleBackupFuncs() {
	action, err := sdk.BackupFuncs{Backup: stamp}.New(sdk.Host{})
	if err != nil {
		fmt.Println(err)
		return
	}
	claim := &unstructured.Unstructured{Object: map[string]any{"kind": "PersistentVolumeClaim"}}
	backup := sdk.NewBackup([]byte(`{"spec":{"storageLocation":"default"}}`))
	_, err = action.Backup(context.Background(), sdk.BackupInput{Item: claim, Backup: backup})
	fmt.Println(claim.GetAnnotations(), err)
	// Output: map[example.io/location:default] <nil>
}

// export is an action whose work goes on after Velero has backed up the item.
type export struct{}

var _ sdk.BackupOperations = export{} // the compiler checks that nothing is missing

func (export) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: []string{"persistentvolumeclaims"}}, nil
}

func (export) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	if in.Backup.Finalizing() {
		return sdk.BackupResult{}, nil // the export has ended, and the claim is backed up again
	}
	return sdk.BackupResult{OperationID: "export-" + in.Item.GetName()}, nil
}

func (export) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	// A real action asks the service that exports; this process may be a new one.
	return sdk.Progress{Completed: true, Description: in.ID}, nil
}

func (export) CancelBackup(context.Context, sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, nil
}

func ExampleBackupOperations() {
	a := export{}
	result, _ := a.Backup(context.Background(), sdk.BackupInput{Item: &unstructured.Unstructured{Object: map[string]any{
		"kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "data"},
	}}})
	progress, _ := a.BackupProgress(context.Background(), sdk.BackupOperation{ID: result.OperationID})
	fmt.Println(progress.Description, progress.Completed)
	// Output: export-data true
}

func ExampleDecode() {
	backup := sdk.NewBackup([]byte(`{"metadata":{"name":"nightly"},"spec":{"ttl":"720h0m0s"}}`))
	type spec struct{ Spec struct{ TTL string } }
	s, err := sdk.Decode[spec](backup)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(backup.Name(), s.Spec.TTL)
	// Output: nightly 720h0m0s
}
