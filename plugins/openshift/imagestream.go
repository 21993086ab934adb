package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupImageStream copies the images of an image stream that are in the
// registry of the cluster.
func (a *actions) backupImageStream(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	registry, err := a.images.Registry(&t.Task)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	switch {
	case registry == imagecopy.None:
		imagecopy.RemoveSummary(item)
	case t.Metadata.Annotations[api.DisableImageCopyKey] == "true":
		imagecopy.RemoveSummary(item)
		fields.Annotate(item, api.DisableImageCopyKey, "true")
		withoutTags(item)
	case fields.Annotation(item, api.SkipImageCopyKey) == "true":
		imagecopy.RemoveSummary(item)
	default:
		return sdk.BackupResult{}, a.images.CopyOut(ctx, t, item, registry)
	}
	return sdk.BackupResult{}, nil
}

// restoreImageStream creates an image stream and pushes its images. One without
// images of a registry of its own is left to Velero.
func (a *actions) restoreImageStream(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	original := velero.BackedUp(in)
	imagecopy.RemoveForeignTags(r, in.Item)
	created, err := a.restoreWithImages(ctx, r, in.Item, original)
	if err != nil || created {
		return sdk.RestoreResult{Skip: created}, err
	}
	imagecopy.RemoveBookkeeping(in.Item)
	return sdk.RestoreResult{}, a.images.FitReferences(ctx, r, in.Item, original)
}

// restoreWithImages creates an image stream that has images to push. It reports
// false for another one.
func (a *actions) restoreWithImages(ctx context.Context, r *velero.Restore, item, original *unstructured.Unstructured) (created bool, err error) {
	registry, err := a.images.Registry(&r.Task)
	switch {
	case err != nil:
		return false, err
	case registry == imagecopy.None:
		imagecopy.WarnNotCopied(original)
		return false, nil
	case fields.Annotation(original, api.DisableImageCopyKey) == "true" || fields.Annotation(original, api.SkipImageCopyKey) == "true":
		return false, nil
	}
	return a.images.CopyBack(ctx, r, item, original, registry)
}

// deleteImageStream lets go of the images of a stream whose backup is deleted.
// The deletion goes on if that fails: images that stay too long do no harm.
func (a *actions) deleteImageStream(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) error {
	t, err := velero.BackupOf(b)
	if err != nil {
		return err
	}
	if err := a.images.Release(ctx, item, t); err != nil {
		slog.Warn("the images of a deleted backup stay in the bucket", "item", fields.Describe(item), "error", err)
	}
	return nil
}

// withoutTags leaves an image stream that names no images.
func withoutTags(stream *unstructured.Unstructured) {
	for _, part := range []string{"spec", "status"} {
		if inner := fields.MapAt(stream.Object, part); inner["tags"] != nil {
			inner["tags"] = []any{}
		}
	}
}
