package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// stamp is an action of every kind.
type stamp struct{}

func (stamp) AppliesTo(context.Context) (sdk.Selector, error) {
	return sdk.Selector{
		IncludedNamespaces: []string{"shop"}, ExcludedNamespaces: []string{"kube-*"},
		IncludedResources: []string{"configmaps"}, ExcludedResources: []string{"secrets"},
		LabelSelector: "app in (a, b),!c",
	}, nil
}

// Backup notes in the item with which arguments the process runs and for which
// backup. It keeps out an item that asks for it.
func (stamp) Backup(_ context.Context, item *unstructured.Unstructured, backup *sdk.Backup) (sdk.BackupResult, error) {
	if item.GetAnnotations()["example.io/fail"] != "" {
		return sdk.BackupResult{}, fmt.Errorf("%s is not to be backed up", item.GetName())
	}
	owner, err := name(backup.Document)
	note(item, "arguments", strings.Join(os.Args[1:], " "))
	note(item, "backup", owner)
	return sdk.BackupResult{AdditionalItems: secretOf(item)}, err
}

// Restore notes in the item for which restore it is and what it was in the
// backup. It leaves out an item that asks for it.
func (stamp) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	owner, err := name(in.Restore.Document)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	before, err := name(in.FromBackup)
	note(in.Item, "restore", owner)
	note(in.Item, "from", before)
	return sdk.RestoreResult{
		Skip:            in.Item.GetAnnotations()["example.io/skip"] != "",
		AdditionalItems: secretOf(in.Item),
	}, err
}

// Delete fails, as an error is all that Velero can see of it.
func (stamp) Delete(_ context.Context, item *unstructured.Unstructured, backup *sdk.Backup) error {
	owner, err := name(backup.Document)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s of %s is kept", item.GetName(), owner)
}

func (stamp) RelatedItems(_ context.Context, item *unstructured.Unstructured, _ *sdk.Backup) ([]sdk.ResourceIdentifier, error) {
	return secretOf(item), nil
}

func name(d *sdk.Document) (string, error) {
	object, err := d.Object()
	if err != nil {
		return "", err
	}
	return object.GetName(), nil
}

func note(item *unstructured.Unstructured, key, value string) {
	annotations := item.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["example.io/"+key] = value
	item.SetAnnotations(annotations)
}

func secretOf(item *unstructured.Unstructured) []sdk.ResourceIdentifier {
	return []sdk.ResourceIdentifier{{Resource: "secrets", Namespace: item.GetNamespace(), Name: item.GetName()}}
}
