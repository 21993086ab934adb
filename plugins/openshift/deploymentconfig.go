package main

import (
	"context"
	"strconv"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// backupDeploymentConfig notes what its pods have, since a restore cannot see
// them.
func (a *actions) backupDeploymentConfig(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	t, err := backupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	all, err := a.podsIn(ctx, t, item.GetNamespace())
	if err != nil {
		return sdk.BackupResult{}, err
	}
	selector := labels.SelectorFromSet(stringMap(fieldsAt(item.Object, "spec", "selector")))
	var hooks, volumes bool
	for _, pod := range all {
		if selector.Empty() || !selector.Matches(pod.labels) {
			continue
		}
		if !hasAnnotation(item, podLabelsKey) {
			annotate(item, podLabelsKey, pod.labels.String())
		}
		hooks = hooks || pod.hooks
		volumes = volumes || pod.volumes
	}
	annotate(item, podFixKey, "true")
	annotate(item, podsHaveHooksKey, strconv.FormatBool(hooks))
	annotate(item, podsHaveVolumesKey, strconv.FormatBool(volumes))
	return sdk.BackupResult{}, nil
}

func (a *actions) restoreDeploymentConfig(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	config := in.Item
	spec := fieldsAt(config.Object, "spec")
	result, err := a.swapTemplate(ctx, in, "spec", "template", "spec")
	if err != nil {
		return result, err
	}
	for trigger := range each(listAt(spec, "triggers")) {
		if from := fieldsAt(trigger, "imageChangeParams", "from"); from != nil {
			editText(from, "namespace", r.target)
		}
	}
	detached, err := a.detachesPods(ctx, r, config)
	if err == nil && detached {
		scaleDown(r, config, spec)
	}
	return result, err
}

// detachesPods reports whether the pods of the deployment config are restored
// apart from it. It decides as the action on pods does.
func (a *actions) detachesPods(ctx context.Context, r *restore, config *unstructured.Unstructured) (bool, error) {
	if !hasAnnotation(config, podFixKey) {
		return a.backsUpVolumes(ctx, r)
	}
	if annotation(config, podsHaveVolumesKey) == "true" || annotation(config, podsHaveHooksKey) == "true" {
		return true, nil
	}
	podLabels, err := labels.ConvertSelectorToLabelsMap(annotation(config, podLabelsKey))
	if err != nil || len(podLabels) == 0 {
		return false, nil // there were no pods
	}
	return len(r.postHooks(config.GetNamespace(), podLabels)) > 0, nil
}

// scaleDown leaves the restored pods alone until somebody, after the restore,
// puts back what is noted here.
func scaleDown(r *restore, config *unstructured.Unstructured, spec fields) {
	replicas, _ := spec["replicas"].(int64)
	if replicas <= 0 {
		return
	}
	paused, _ := spec["paused"].(bool)
	annotate(config, originalReplicasKey, strconv.FormatInt(replicas, 10))
	annotate(config, originalPausedKey, strconv.FormatBool(paused))
	setLabel(config, replicasModifiedLabel, r.labelValue())
	spec["replicas"] = int64(0)
	spec["paused"] = false
}
