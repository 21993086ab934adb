package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const kindDeploymentConfig = "DeploymentConfig"

// backupReplicationController notes whether the deployment config that owns it
// is paused.
func (a *actions) backupReplicationController(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	config, owned := owner(item, kindDeploymentConfig)
	if !owned {
		return sdk.BackupResult{}, nil
	}
	t, err := backupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	paused, err := a.pausedConfigs(ctx, t, item.GetNamespace())
	if err != nil {
		slog.Warn("the owner of a replication controller cannot be read and counts as not paused", "item", describe(item), "error", err)
	}
	if paused[config] {
		annotate(item, pausedOwnerKey, "true")
	}
	return sdk.BackupResult{}, nil
}

// pausedConfigs returns the paused deployment configs of a namespace.
func (a *actions) pausedConfigs(ctx context.Context, t *task, namespace string) (map[string]bool, error) {
	return a.paused.Get(ctx, t.key(namespace), func(ctx context.Context) (map[string]bool, error) {
		paused := map[string]bool{}
		err := a.cluster.Each(ctx, deploymentConfigs, namespace, kube.Selection{}, func(config *unstructured.Unstructured) {
			if at(config.Object, "spec", "paused") == true {
				paused[config.GetName()] = true
			}
		})
		return paused, err
	})
}

// restoreReplicationController leaves those of deployment configs to be made
// anew, unless the owner is paused and makes none.
func (a *actions) restoreReplicationController(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if _, owned := owner(backedUp(in), kindDeploymentConfig); owned {
		if annotation(in.Item, pausedOwnerKey) != "true" {
			return sdk.RestoreResult{Skip: true}, nil
		}
		removeAnnotation(in.Item, pausedOwnerKey)
	}
	return a.swapTemplate(ctx, in, "spec", "template", "spec")
}
