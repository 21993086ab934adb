package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupPod marks the pod as one of a backup with facts about deployment
// configs, and leaves out what a build has unpacked.
func (a *actions) backupPod(_ context.Context, item *unstructured.Unstructured, _ sdk.Backup) (sdk.BackupResult, error) {
	fields.Annotate(item, api.PodFixKey, "true")
	if fields.Annotation(item, api.BuildNameKey) != "" {
		excludeBuildVolumes(item)
	}
	return sdk.BackupResult{}, nil
}

var buildVolumes = []string{"buildworkdir", "container-storage-root", "container-storage-run", "build-blob-cache"}

func excludeBuildVolumes(pod *unstructured.Unstructured) {
	var excluded []string
	if present := fields.Annotation(pod, velero.VolumesExcludesKey); present != "" {
		excluded = strings.Split(present, ",")
	}
	for volume := range fields.Each(fields.ListAt(pod.Object, "spec", "volumes")) {
		name := fields.TextAt(volume, "name")
		if slices.Contains(buildVolumes, name) && !slices.Contains(excluded, name) {
			excluded = append(excluded, name)
		}
	}
	if len(excluded) > 0 {
		fields.Annotate(pod, velero.VolumesExcludesKey, strings.Join(excluded, ","))
	}
}

// restorePod restores the pods that nobody makes anew, and those that a
// controller would make without their volumes and hooks.
func (a *actions) restorePod(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	pod, original := in.Item, velero.BackedUp(in)
	if fields.Annotation(original, api.BuildNameKey) != "" {
		return sdk.RestoreResult{Skip: true}, nil
	}
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	spec := fields.MapAt(pod.Object, "spec")
	delete(spec, "nodeSelector")

	hooks := velero.HookedBy(fields.MapAt(pod.Object, "metadata", "annotations")) ||
		len(r.PostHooks(pod.GetNamespace(), fields.Labels(pod))) > 0
	needed := hooks || hasVolumes(spec)
	if owners := fields.ListAt(original.Object, "metadata", "ownerReferences"); len(owners) > 0 && !needed {
		return sdk.RestoreResult{Skip: true}, nil
	}
	if err := a.detach(ctx, r, pod, needed); err != nil {
		return sdk.RestoreResult{}, err
	}
	result := sdk.RestoreResult{AdditionalItems: a.streamsOf(r, pod, spec)}
	if err := a.swapImages(ctx, r, pod, spec); err != nil {
		return result, err
	}
	stage(r, pod, spec)
	return result, nil
}

// detach keeps the replication controller of a deployment config from deleting
// the pod. Meanwhile the deployment config is restored without replicas, for
// which it decides as this does.
func (a *actions) detach(ctx context.Context, r *velero.Restore, pod *unstructured.Unstructured, needed bool) error {
	if fields.Label(pod, api.DeploymentLabel) == "" || fields.Label(pod, api.DeploymentConfigLabel) == "" {
		return nil
	}
	if !fields.HasAnnotation(pod, api.PodFixKey) {
		var err error
		if needed, err = a.backsUpVolumes(ctx, r); err != nil {
			return err
		}
	}
	if needed {
		fields.RemoveLabel(pod, api.DeploymentLabel)
		fields.RemoveLabel(pod, api.DeploymentConfigLabel)
		fields.SetLabel(pod, api.DisconnectedLabel, r.LabelValue())
	}
	return nil
}

// backsUpVolumes reports whether the backup took the files of all volumes by
// default. Old backups have no other hint at which pods have to be restored.
func (a *actions) backsUpVolumes(ctx context.Context, r *velero.Restore) (bool, error) {
	return a.backups.Get(ctx, r.Key(), func(ctx context.Context) (bool, error) {
		backup, err := a.cluster.Get(ctx, api.Backups, r.Metadata.Namespace, r.Spec.BackupName)
		if err == nil && backup == nil {
			err = errors.New("it is not in the cluster")
		}
		if err != nil {
			slog.Warn("the backup cannot be read, and pods of deployment configs are restored as if it had no files of volumes",
				"backup", r.Spec.BackupName, "error", err)
			return false, nil
		}
		return fields.At(backup.Object, "spec", "defaultVolumesToFsBackup") == true ||
			fields.At(backup.Object, "spec", "defaultVolumesToRestic") == true, nil
	})
}

// swapImages turns the images of a pod, and the secrets to pull them, to those
// of the cluster that is restored to.
func (a *actions) swapImages(ctx context.Context, r *velero.Restore, pod *unstructured.Unstructured, spec fields.Map) error {
	swap := a.swapFor(ctx, r, pod)
	swap.podSpec(spec)
	references := fields.ListAt(spec, "imagePullSecrets")
	if !swap.internal(spec) && !generatedAmong(references) {
		return nil // as most pods, which ask the cluster nothing
	}
	// A cluster without a registry makes no secrets, and its pods need none.
	if state, err := a.registry.state(ctx, r); err != nil || state == registryOff {
		return err
	}
	// The pod is admitted with the secrets of its service account, which has to
	// have them by now.
	if swap.internal(spec) {
		if _, err := a.pullSecrets.target(ctx, r, r.TargetNamespace(pod.GetNamespace()), "default-dockercfg-"); err != nil {
			return err
		}
	}
	if !generatedAmong(references) {
		return nil
	}
	kept, err := a.pullSecrets.swapAll(ctx, r, pod, references)
	if err == nil {
		spec["imagePullSecrets"] = kept
	}
	return err
}

// generatedAmong reports whether a list such as imagePullSecrets names a
// generated secret.
func generatedAmong(references []any) bool {
	for reference := range fields.Each(references) {
		if generatedPrefix(fields.TextAt(reference, "name")) != "" {
			return true
		}
	}
	return false
}

// stage makes the pod one that only holds its claims, while a migration copies
// their content.
func stage(r *velero.Restore, pod *unstructured.Unstructured, spec fields.Map) {
	image := r.Metadata.Annotations[api.StagePodImageKey]
	if image == "" || fields.Label(pod, api.StagePodLabel) == "" || spec == nil {
		return
	}
	// Its name speaks of claims, but what it lists are volumes of the pod: data,logs.
	excluded := strings.Split(fields.Annotation(pod, api.ExcludeClaimsKey), ",")
	kept := map[string]bool{}
	spec["volumes"] = slices.DeleteFunc(fields.ListAt(spec, "volumes"), func(element any) bool {
		volume, _ := element.(fields.Map)
		name := fields.TextAt(volume, "name")
		keep := fields.TextAt(volume, "persistentVolumeClaim", "claimName") != "" && !slices.Contains(excluded, name)
		kept[name] = keep
		return !keep
	})
	for container := range containers(spec) {
		container["image"] = image
		container["command"] = []any{"sleep"}
		container["args"] = []any{"infinity"}
		container["volumeMounts"] = slices.DeleteFunc(fields.ListAt(container, "volumeMounts"), func(element any) bool {
			mount, _ := element.(fields.Map)
			return !kept[fields.TextAt(mount, "name")]
		})
	}
}
