package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Each item that runs images is stamped with the release and the registry of
// the clusters that it comes from and goes to. The actions behind this one read
// the stamps in place of the cluster.

func (a *actions) backupStamp(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	return sdk.BackupResult{}, a.stamp(ctx, &t.Task, item, item.GetNamespace(), api.BackupServerVersionKey, api.BackupRegistryHostKey)
}

func (a *actions) restoreStamp(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	namespace := r.TargetNamespace(in.Item.GetNamespace())
	return sdk.RestoreResult{}, a.stamp(ctx, &r.Task, in.Item, namespace, api.RestoreServerVersionKey, api.RestoreRegistryHostKey)
}

func (a *actions) stamp(ctx context.Context, t *velero.Task, item *unstructured.Unstructured, namespace, versionKey, hostKey string) error {
	version, err := a.versions.Get(ctx, t.Key(), func(ctx context.Context) (kube.Version, error) { return a.cluster.Version(ctx) })
	if err != nil {
		return err
	}
	host, err := a.registry.host(ctx, t, namespace)
	if err != nil {
		return err
	}
	fields.Annotate(item, versionKey, version.String())
	fields.Annotate(item, hostKey, host)
	return nil
}
