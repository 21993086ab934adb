package main

import (
	"context"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupServiceAccount adds the security context constraints that let the pods
// of the account run.
func (a *actions) backupServiceAccount(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	items, err := a.relatedToServiceAccount(ctx, item, b)
	return sdk.BackupResult{AdditionalItems: items}, err
}

func (a *actions) relatedToServiceAccount(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) ([]sdk.ResourceIdentifier, error) {
	t, err := backupOf(b)
	if err != nil {
		return nil, err
	}
	names, err := a.constraintsOf(ctx, t, serviceAccount{item.GetNamespace(), item.GetName()})
	if err != nil {
		return nil, err
	}
	var items []sdk.ResourceIdentifier
	for _, name := range names {
		items = append(items, sdk.ResourceIdentifier{Group: securityGroup, Resource: securityContextConstraints.Resource, Name: name})
	}
	return items, nil
}

// restoreServiceAccount takes off the secrets that OpenShift makes anew.
func (a *actions) restoreServiceAccount(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	account := in.Item
	// Long names of accounts are cut off in those of their secrets, so that only
	// the annotation tells.
	named := annotation(account, pullSecretRefKey)
	generated := func(reference any) bool {
		fields, _ := reference.(fields)
		name := textAt(fields, "name")
		return name != "" && (name == named || strings.HasPrefix(name, account.GetName()+"-dockercfg-"))
	}
	for _, field := range []string{"secrets", "imagePullSecrets"} {
		if references := listAt(account.Object, field); references != nil {
			account.Object[field] = slices.DeleteFunc(references, generated)
		}
	}
	removeAnnotation(account, pullSecretRefKey)
	return sdk.RestoreResult{}, nil
}
