package main

import (
	"context"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupServiceAccount adds the security context constraints that let the pods
// of the account run.
func (a *actions) backupServiceAccount(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	items, err := a.relatedToServiceAccount(ctx, item, b)
	return sdk.BackupResult{AdditionalItems: items}, err
}

func (a *actions) relatedToServiceAccount(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) ([]sdk.ResourceIdentifier, error) {
	t, err := velero.BackupOf(b)
	if err != nil {
		return nil, err
	}
	names, err := a.constraints.of(ctx, &t.Task, serviceAccount{item.GetNamespace(), item.GetName()})
	if err != nil {
		return nil, err
	}
	var items []sdk.ResourceIdentifier
	for _, name := range names {
		items = append(items, sdk.ResourceIdentifier{Group: api.SecurityGroup, Resource: api.SecurityContextConstraints.Resource, Name: name})
	}
	return items, nil
}

// restoreServiceAccount takes off the secrets that OpenShift makes anew.
func (a *actions) restoreServiceAccount(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	account := in.Item
	// Long names of accounts are cut off in those of their secrets, so that only
	// the annotation tells.
	named := fields.Annotation(account, api.PullSecretRefKey)
	generated := func(reference any) bool {
		entry, _ := reference.(fields.Map)
		name := fields.TextAt(entry, "name")
		return name != "" && (name == named || strings.HasPrefix(name, account.GetName()+"-dockercfg-"))
	}
	for _, field := range []string{"secrets", "imagePullSecrets"} {
		if references := fields.ListAt(account.Object, field); references != nil {
			account.Object[field] = slices.DeleteFunc(references, generated)
		}
	}
	fields.RemoveAnnotation(account, api.PullSecretRefKey)
	return sdk.RestoreResult{}, nil
}
