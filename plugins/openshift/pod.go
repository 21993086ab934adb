package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupPod marks the pod as one of a backup with facts about deployment
// configs, and leaves out what a build has unpacked.
func (a *actions) backupPod(_ context.Context, item *unstructured.Unstructured, _ *sdk.Backup) (sdk.BackupResult, error) {
	annotate(item, podFixKey, "true")
	if hasAnnotation(item, buildNameKey) {
		excludeBuildVolumes(item)
	}
	return sdk.BackupResult{}, nil
}

var buildVolumes = []string{"buildworkdir", "container-storage-root", "container-storage-run", "build-blob-cache"}

func excludeBuildVolumes(pod *unstructured.Unstructured) {
	var excluded []string
	if present := annotation(pod, volumesExcludesKey); present != "" {
		excluded = strings.Split(present, ",")
	}
	for volume := range each(listAt(pod.Object, "spec", "volumes")) {
		name := textAt(volume, "name")
		if slices.Contains(buildVolumes, name) && !slices.Contains(excluded, name) {
			excluded = append(excluded, name)
		}
	}
	if len(excluded) > 0 {
		annotate(pod, volumesExcludesKey, strings.Join(excluded, ","))
	}
}

// restorePod restores the pods that nobody makes anew, and those that a
// controller would make without their volumes and hooks.
func (a *actions) restorePod(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	pod, original := in.Item, backedUp(in)
	if hasAnnotation(original, buildNameKey) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	spec := fieldsAt(pod.Object, "spec")
	delete(spec, "nodeSelector")

	hooks := hookedBy(fieldsAt(pod.Object, "metadata", "annotations")) ||
		len(r.postHooks(pod.GetNamespace(), labelsOf(pod))) > 0
	needed := hooks || hasVolumes(spec)
	if owners := listAt(original.Object, "metadata", "ownerReferences"); len(owners) > 0 && !needed {
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
func (a *actions) detach(ctx context.Context, r *restore, pod *unstructured.Unstructured, needed bool) error {
	if label(pod, deploymentLabel) == "" || label(pod, deploymentConfigLabel) == "" {
		return nil
	}
	if !hasAnnotation(pod, podFixKey) {
		var err error
		if needed, err = a.backsUpVolumes(ctx, r); err != nil {
			return err
		}
	}
	if needed {
		removeLabel(pod, deploymentLabel)
		removeLabel(pod, deploymentConfigLabel)
		setLabel(pod, disconnectedLabel, r.labelValue())
	}
	return nil
}

// backsUpVolumes reports whether the backup took the files of all volumes by
// default. Old backups have no other hint at which pods have to be restored.
func (a *actions) backsUpVolumes(ctx context.Context, r *restore) (bool, error) {
	return a.backups.Get(ctx, r.key(), func(ctx context.Context) (bool, error) {
		backup, err := a.cluster.Get(ctx, backups, r.Metadata.Namespace, r.Spec.BackupName)
		if err == nil && backup == nil {
			err = errors.New("it is not in the cluster")
		}
		if err != nil {
			slog.Warn("the backup cannot be read, and pods of deployment configs are restored as if it had no files of volumes",
				"backup", r.Spec.BackupName, "error", err)
			return false, nil
		}
		return at(backup.Object, "spec", "defaultVolumesToFsBackup") == true ||
			at(backup.Object, "spec", "defaultVolumesToRestic") == true, nil
	})
}

// swapImages turns the images of a pod, and the secrets to pull them, to those
// of the cluster that is restored to.
func (a *actions) swapImages(ctx context.Context, r *restore, pod *unstructured.Unstructured, spec fields) error {
	swap := a.swapFor(ctx, r, pod)
	swap.podSpec(spec)
	references := listAt(spec, "imagePullSecrets")
	// The pod is admitted with the secrets of its service account, which has to
	// have them by now.
	if swap.internal(spec) {
		if _, err := a.targetPullSecret(ctx, r, r.target(pod.GetNamespace()), "default-dockercfg-"); err != nil {
			return err
		}
	}
	if len(references) == 0 {
		return nil
	}
	kept, err := a.swapPullSecrets(ctx, r, pod, references)
	if err == nil {
		spec["imagePullSecrets"] = kept
	}
	return err
}

// stage makes the pod one that only holds its claims, while a migration copies
// their content.
func stage(r *restore, pod *unstructured.Unstructured, spec fields) {
	image := r.Metadata.Annotations[stagePodImageKey]
	if image == "" || label(pod, stagePodLabel) == "" || spec == nil {
		return
	}
	excluded := strings.Split(annotation(pod, excludeClaimsKey), ",")
	kept := map[string]bool{}
	spec["volumes"] = slices.DeleteFunc(listAt(spec, "volumes"), func(element any) bool {
		volume, _ := element.(fields)
		claim := textAt(volume, "persistentVolumeClaim", "claimName")
		keep := claim != "" && !slices.Contains(excluded, claim)
		kept[textAt(volume, "name")] = keep
		return !keep
	})
	for container := range containers(spec) {
		container["image"] = image
		container["command"] = []any{"sleep"}
		container["args"] = []any{"infinity"}
		container["volumeMounts"] = slices.DeleteFunc(listAt(container, "volumeMounts"), func(element any) bool {
			mount, _ := element.(fields)
			return !kept[textAt(mount, "name")]
		})
	}
}
