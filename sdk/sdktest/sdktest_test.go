package sdktest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/sdktest"
)

var errRefused = errors.New("refused on purpose")

// copyAction is an action of every kind that does what its item's field do says.
type copyAction struct{ host sdk.Host }

func (copyAction) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{}, nil
}

func (a copyAction) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	a.host.Logger.Info("backing up", "item", in.Item.GetName())
	switch in.Item.Object["do"] {
	case "refuse":
		return sdk.BackupResult{}, errRefused
	case "panic":
		panic("on purpose")
	case "forget":
		return sdk.BackupResult{PostOperationItems: []sdk.ResourceIdentifier{{Name: "a"}}}, nil
	case "lose the kind":
		delete(in.Item.Object, "kind")
	}
	in.Item.SetLabels(map[string]string{"location": in.Backup.StorageLocation()})
	id := sdk.ResourceIdentifier{Group: "g", Resource: "r", Namespace: "n", Name: "m"}
	return sdk.BackupResult{AdditionalItems: []sdk.ResourceIdentifier{id}, OperationID: "o", PostOperationItems: []sdk.ResourceIdentifier{id}}, nil
}

func (copyAction) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	return sdk.Progress{Completed: true, Done: 1, Total: 2, Units: in.ID, Description: in.Backup.Name(), Started: time.Unix(5, 0)}, nil
}

func (copyAction) CancelBackup(context.Context, sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, errRefused
}

func (copyAction) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	from, err := in.FromBackup.Object()
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	in.Item.SetName(from.GetName() + "-" + in.Restore.TargetNamespace(from.GetNamespace()))
	return sdk.RestoreResult{Skip: true, OperationID: "o", WaitForAdditionalItems: true, AdditionalItemsTimeout: time.Minute}, nil
}

func (copyAction) RestoreProgress(_ context.Context, in sdk.RestoreOperation) (sdk.Progress, error) {
	return sdk.Progress{Units: in.ID + in.Restore.Name()}, nil
}

func (copyAction) CancelRestore(context.Context, sdk.RestoreOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, nil
}

func (copyAction) ItemsReady(_ context.Context, in sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	return sdk.ItemsReadyResult{Ready: in.Items[0].Name == "ready"}, nil
}

func (copyAction) Delete(_ context.Context, in sdk.DeleteInput) (sdk.DeleteResult, error) {
	return sdk.DeleteResult{}, errors.New(in.Item.GetName() + " of " + in.Backup.Name())
}

func (copyAction) RelatedItems(_ context.Context, in sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	return sdk.RelatedItemsResult{Items: []sdk.ResourceIdentifier{{Name: in.Item.GetName()}}}, nil
}

func newBackup(h sdk.Host) (sdk.BackupItemAction, error)   { return copyAction{h}, nil }
func newRestore(h sdk.Host) (sdk.RestoreItemAction, error) { return copyAction{h}, nil }
func newDelete(h sdk.Host) (sdk.DeleteItemAction, error)   { return copyAction{h}, nil }
func newBlock(h sdk.Host) (sdk.ItemBlockAction, error)     { return copyAction{h}, nil }

const (
	pod     = "{kind: Pod, metadata: {name: web, namespace: shop}, big: 9007199254740993}"
	nightly = "{metadata: {name: nightly}, spec: {storageLocation: default}}"
	back    = "{metadata: {name: back}, spec: {namespaceMapping: {shop: copy}}}"
)

func TestBackup(t *testing.T) {
	got, err := sdktest.Backup(t, newBackup, pod, nightly)
	if err != nil {
		t.Fatal(err)
	}
	id := []sdk.ResourceIdentifier{{Group: "g", Resource: "r", Namespace: "n", Name: "m"}}
	if got.Item.GetLabels()["location"] != "default" || got.Item.Object["big"] != int64(9007199254740993) || got.OperationID != "o" ||
		!slices.Equal(got.AdditionalItems, id) || !slices.Equal(got.PostOperationItems, id) {
		t.Errorf("got %+v", got)
	}
	for do, want := range map[string]string{
		"refuse": "refused on purpose", "panic": "plugin panicked: on purpose", "forget": "without an OperationID", "lose the kind": "removed the item's kind",
	} {
		_, err := sdktest.Backup(t, newBackup, "{kind: Pod, metadata: {name: a}, do: "+do+"}", nightly)
		if err == nil || !strings.Contains(err.Error(), want) || (do == "refuse") != errors.Is(err, errRefused) {
			t.Errorf("%s: %v", do, err)
		}
	}
	if _, err := sdktest.Backup(t, newBackup, "{metadata: {name: a}}", nightly); err == nil || !strings.Contains(err.Error(), "no kind") {
		t.Errorf("an item without a kind: %v", err)
	}
	p, err := sdktest.BackupProgress(t, newBackup, "op", nightly)
	if err != nil || !p.Completed || p.Done != 1 || p.Total != 2 || p.Units != "op" || p.Description != "nightly" || p.Started.Unix() != 5 || !p.Updated.IsZero() {
		t.Errorf("progress %+v, %v", p, err)
	}
	if err := sdktest.CancelBackup(t, newBackup, "op", nightly); !errors.Is(err, errRefused) {
		t.Errorf("cancel: %v", err)
	}
}

func TestRestore(t *testing.T) {
	got, err := sdktest.Restore(t, newRestore, pod, "", back)
	if err != nil || got.Item.GetName() != "web-copy" || !got.Skip || got.OperationID != "o" || !got.WaitForAdditionalItems || got.AdditionalItemsTimeout != time.Minute {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = sdktest.Restore(t, newRestore, pod, "{kind: Pod, metadata: {name: old}}", back)
	if err != nil || got.Item.GetName() != "old-" {
		t.Errorf("with another item from the backup: %+v, %v", got, err)
	}
	if p, err := sdktest.RestoreProgress(t, newRestore, "op", back); err != nil || p.Units != "opback" {
		t.Errorf("progress %+v, %v", p, err)
	}
	if err := sdktest.CancelRestore(t, newRestore, "op", back); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if ready, err := sdktest.ItemsReady(t, newRestore, []sdk.ResourceIdentifier{{Name: "ready"}}, back); err != nil || !ready {
		t.Errorf("ready %t, %v", ready, err)
	}
}

func TestOtherKinds(t *testing.T) {
	if err := sdktest.Delete(t, newDelete, pod, nightly); err == nil || err.Error() != "web of nightly" {
		t.Errorf("delete: %v", err)
	}
	if items, err := sdktest.RelatedItems(t, newBlock, pod, nightly); err != nil || len(items) != 1 || items[0].Name != "web" {
		t.Errorf("related: %v, %v", items, err)
	}
	half := func(sdk.Host) (sdk.BackupItemAction, error) { return struct{ sdk.BackupItemAction }{copyAction{}}, nil }
	if _, err := sdktest.Backup(t, half, pod, nightly); err == nil || !strings.Contains(err.Error(), "hides that it is a sdk.BackupOperations") {
		t.Errorf("a wrapper that hides operations: %v", err)
	}
	if sdktest.NewBackup(t, nightly).Name() != "nightly" || sdktest.NewRestore(t, back).Name() != "back" || sdktest.Item(t, pod).GetName() != "web" {
		t.Error("the values are not those of the YAML")
	}
}
