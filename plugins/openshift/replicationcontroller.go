package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const kindDeploymentConfig = "DeploymentConfig"

// backupReplicationController notes whether the deployment config that owns it
// is paused.
func (a *actions) backupReplicationController(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	config, owned := fields.Owner(item, kindDeploymentConfig)
	if !owned {
		return sdk.BackupResult{}, nil
	}
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	paused, err := a.pausedConfigs(ctx, &t.Task, item.GetNamespace())
	if err != nil {
		slog.Warn("the owner of a replication controller cannot be read and counts as not paused", "item", fields.Describe(item), "error", err)
	}
	if paused[config] {
		fields.Annotate(item, api.PausedOwnerKey, "true")
	}
	return sdk.BackupResult{}, nil
}

// pausedConfigs returns the paused deployment configs of a namespace.
func (a *actions) pausedConfigs(ctx context.Context, t *velero.Task, namespace string) (map[string]bool, error) {
	return a.paused.Get(ctx, t.Key(namespace), func(ctx context.Context) (map[string]bool, error) {
		paused := map[string]bool{}
		err := a.cluster.Each(ctx, api.DeploymentConfigs, namespace, kube.Selection{}, func(config *unstructured.Unstructured) {
			if fields.At(config.Object, "spec", "paused") == true {
				paused[config.GetName()] = true
			}
		})
		return paused, err
	})
}

// restoreReplicationController leaves those of deployment configs to be made
// anew, unless the owner is paused and makes none.
func (a *actions) restoreReplicationController(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if _, owned := fields.Owner(velero.BackedUp(in), kindDeploymentConfig); owned {
		if fields.Annotation(in.Item, api.PausedOwnerKey) != "true" {
			return sdk.RestoreResult{Skip: true}, nil
		}
		fields.RemoveAnnotation(in.Item, api.PausedOwnerKey)
	}
	return a.swapTemplate(ctx, in, "spec", "template", "spec")
}
