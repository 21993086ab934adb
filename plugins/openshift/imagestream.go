package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imageStreamBackup copies the images of an image stream that are in the registry
// of the cluster.
//
// A tag whose current image cannot be copied must not take the other tags along, as an
// error of the action would: Velero leaves the item out of the backup then. So the
// stream goes into the backup with a line in the log of Velero, at the level of errors,
// and with an operation that has failed. Either makes the backup PartiallyFailed;
// Velero before 1.11 knows no operations.
type imageStreamBackup struct{ *actions }

func (a imageStreamBackup) begin(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
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
		err := a.images.CopyOut(ctx, t, item, registry)
		if incomplete := (*imagecopy.Incomplete)(nil); !errors.As(err, &incomplete) {
			return sdk.BackupResult{}, err
		}
		slog.Error("tags of an image stream are backed up without their images", "item", fields.Describe(item), "error", err)
		return sdk.BackupResult{OperationID: failedCopy(item, err)}, nil
	}
	return sdk.BackupResult{}, nil
}

// maxFailedCopy bounds the text of an operation, in bytes. The log has all of it.
const maxFailedCopy = 1000

// failedCopy returns the operation of a stream that is backed up without all of its
// images. Velero asks for the progress of an operation from new processes, so the
// operation's name is all that is known of it:
//
//	images of shop/app: image sha256:... of tag v2: file does not exist; fix: push ...
func failedCopy(item *unstructured.Unstructured, err error) string {
	text := "images of " + item.GetNamespace() + "/" + item.GetName() + ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
	return strings.ToValidUTF8(text[:min(len(text), maxFailedCopy)], "")
}

// BackupProgress implements sdk.BackupOperations.
func (a imageStreamBackup) BackupProgress(_ context.Context, in sdk.BackupOperation) (sdk.Progress, error) {
	now := time.Now()
	return sdk.Progress{Completed: true, Err: in.ID, Started: now, Updated: now}, nil
}

// CancelBackup implements sdk.BackupOperations. The operation has ended before it is
// known.
func (a imageStreamBackup) CancelBackup(context.Context, sdk.BackupOperation) (sdk.CancelResult, error) {
	return sdk.CancelResult{}, nil
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
