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

func (stamp) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{
		IncludedNamespaces: []string{"shop"}, ExcludedNamespaces: []string{"kube-*"},
		IncludedResources: []string{"configmaps"}, ExcludedResources: []string{"secrets"},
		LabelSelector: "app in (a, b),!c",
	}, nil
}

// Backup notes in the item with which arguments the process runs and for which
// backup. It keeps out an item that asks for it.
func (stamp) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	if in.Item.GetAnnotations()["example.io/fail"] != "" {
		return sdk.BackupResult{}, fmt.Errorf("%s is not to be backed up", in.Item.GetName())
	}
	note(in.Item, "arguments", strings.Join(os.Args[1:], " "))
	note(in.Item, "backup", in.Backup.Name())
	return sdk.BackupResult{AdditionalItems: secretOf(in.Item)}, nil
}

// Restore notes in the item for which restore it is and what it was in the
// backup. It leaves out an item that asks for it.
func (stamp) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	before, err := in.FromBackup.Object()
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	note(in.Item, "restore", in.Restore.Name())
	note(in.Item, "from", before.GetName())
	return sdk.RestoreResult{
		Skip:            in.Item.GetAnnotations()["example.io/skip"] != "",
		AdditionalItems: secretOf(in.Item),
	}, nil
}

// Delete fails, as an error is all that Velero can see of it.
func (stamp) Delete(_ context.Context, in sdk.DeleteInput) (sdk.DeleteResult, error) {
	return sdk.DeleteResult{}, fmt.Errorf("%s of %s is kept", in.Item.GetName(), in.Backup.Name())
}

func (stamp) RelatedItems(_ context.Context, in sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	return sdk.RelatedItemsResult{Items: secretOf(in.Item)}, nil
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
