package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// Whoever can write to the bucket chooses the namespace in an item. No action
// asks the cluster for anything because of an item that claims to be in a
// namespace which the Restore does not cover.
func TestItemsThatLie(t *testing.T) {
	t.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", "true")
	t.Setenv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS", "all")
	const limited = "{metadata: {name: r, namespace: velero}, spec: {backupName: b, includedNamespaces: [attacker]}}"
	a := offline(t)
	for _, seed := range seeds() {
		item := fieldstest.Object(t, seed)
		item.SetNamespace("openshift")
		if item.GetName() == "" {
			item.SetName("cli")
		}
		for _, action := range a.table() {
			if _, ok := action.implementation.(sdk.RestoreItemAction); !ok {
				continue
			}
			err := callAction(t.Context(), action.implementation, item.DeepCopy(), fieldstest.JSON(t, limited))
			if !errors.Is(err, velero.CodeOutOfScope) {
				t.Errorf("%s with %s: %v", action.name, item.GetKind(), err)
			}
		}
	}
}

// The ID of an operation comes from the bucket, too.
func TestOperationsThatLie(t *testing.T) {
	const limited = "{metadata: {name: r}, spec: {includedNamespaces: [attacker], namespaceMapping: {victim: other}}}"
	operations := find[sdk.RestoreOperations](t, offline(t), "27-image-trigger")
	for _, id := range []string{"Deployment.apps/victim/app", "Deployment.apps/other/app"} {
		in := sdk.RestoreOperation{ID: id, Restore: sdk.NewRestore(fieldstest.JSON(t, limited))}
		if _, err := operations.RestoreProgress(t.Context(), in); err == nil || !strings.Contains(err.Error(), "does not write to") {
			t.Errorf("progress of %s: %v", id, err)
		}
		if _, err := operations.CancelRestore(t.Context(), in); err == nil || !strings.Contains(err.Error(), "does not write to") {
			t.Errorf("cancellation of %s: %v", id, err)
		}
	}
}
