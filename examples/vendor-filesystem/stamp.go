package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stamp writes on each backed-up volume claim by which plugin and to which
// location it was backed up, and takes that off again when it is restored.
type stamp struct{}

const stampAnnotation = "example.com/backed-up-by"

func (stamp) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: []string{"persistentvolumeclaims"}}, nil
}

func (stamp) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	text := "velero-plugin-for-filesystem " + version + ", location " + in.Backup.StorageLocation()
	return sdk.BackupResult{}, unstructured.SetNestedField(in.Item.Object, text, "metadata", "annotations", stampAnnotation)
}

func (stamp) Restore(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	unstructured.RemoveNestedField(in.Item.Object, "metadata", "annotations", stampAnnotation)
	return sdk.RestoreResult{}, nil
}
