package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stamp writes on each backed-up volume claim by which plugin and to which
// location it was backed up, and takes that off again when it is restored.
type stamp struct{ version string }

const stampAnnotation = "example.com/backed-up-by"

func (stamp) AppliesTo(context.Context) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: []string{"persistentvolumeclaims"}}, nil
}

func (s stamp) Backup(_ context.Context, item *unstructured.Unstructured, backup *sdk.Backup) (sdk.BackupResult, error) {
	b, err := backup.Object()
	if err != nil {
		return sdk.BackupResult{}, err
	}
	location, _, _ := unstructured.NestedString(b.Object, "spec", "storageLocation")
	text := "velero-plugin-for-filesystem " + s.version + ", location " + location
	return sdk.BackupResult{}, unstructured.SetNestedField(item.Object, text, "metadata", "annotations", stampAnnotation)
}

func (stamp) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	unstructured.RemoveNestedField(in.Item.Object, "metadata", "annotations", stampAnnotation)
	return sdk.RestoreResult{}, nil
}
