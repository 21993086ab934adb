package main

import (
	"context"
	"strconv"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// backupDeploymentConfig notes what its pods have, since a restore cannot see
// them.
func (a *actions) backupDeploymentConfig(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	all, err := a.pods.in(ctx, &t.Task, item.GetNamespace())
	if err != nil {
		return sdk.BackupResult{}, err
	}
	selector := labels.SelectorFromSet(fields.StringMap(fields.MapAt(item.Object, "spec", "selector")))
	var hooks, volumes bool
	podLabels := "" // of the first pod
	for _, pod := range all {
		if selector.Empty() || !selector.Matches(pod.labels) {
			continue
		}
		if podLabels == "" {
			podLabels = pod.labels.String()
		}
		hooks = hooks || pod.hooks
		volumes = volumes || pod.volumes
	}
	fields.Annotate(item, api.PodFixKey, "true")
	fields.Annotate(item, api.PodsHaveHooksKey, strconv.FormatBool(hooks))
	fields.Annotate(item, api.PodsHaveVolumesKey, strconv.FormatBool(volumes))
	fields.Annotate(item, api.PodLabelsKey, podLabels)
	return sdk.BackupResult{}, nil
}

func (a *actions) restoreDeploymentConfig(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	config := in.Item
	spec := fields.MapAt(config.Object, "spec")
	result, err := a.swapTemplate(ctx, in, "spec", "template", "spec")
	if err != nil {
		return result, err
	}
	for trigger := range fields.Each(fields.ListAt(spec, "triggers")) {
		if from := fields.MapAt(trigger, "imageChangeParams", "from"); from != nil {
			fields.EditText(from, "namespace", r.TargetNamespace)
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
func (a *actions) detachesPods(ctx context.Context, r *velero.Restore, config *unstructured.Unstructured) (bool, error) {
	if !fields.HasAnnotation(config, api.PodFixKey) {
		return a.backsUpVolumes(ctx, r)
	}
	if fields.Annotation(config, api.PodsHaveVolumesKey) == "true" || fields.Annotation(config, api.PodsHaveHooksKey) == "true" {
		return true, nil
	}
	podLabels, err := labels.ConvertSelectorToLabelsMap(fields.Annotation(config, api.PodLabelsKey))
	if err != nil || len(podLabels) == 0 {
		return false, nil // there were no pods
	}
	return len(r.PostHooks(config.GetNamespace(), podLabels)) > 0, nil
}

// scaleDown leaves the restored pods alone until somebody, after the restore,
// puts back what is noted here.
func scaleDown(r *velero.Restore, config *unstructured.Unstructured, spec fields.Map) {
	replicas, _ := spec["replicas"].(int64)
	if replicas <= 0 {
		return
	}
	paused, _ := spec["paused"].(bool)
	fields.Annotate(config, api.OriginalReplicasKey, strconv.FormatInt(replicas, 10))
	fields.Annotate(config, api.OriginalPausedKey, strconv.FormatBool(paused))
	fields.SetLabel(config, api.ReplicasModifiedLabel, r.LabelValue())
	spec["replicas"] = int64(0)
	spec["paused"] = false
}
