package main

import (
	"context"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// bucketRegistry is the migration registry of an image stream whose images are
// in the bucket of the backup.
const bucketRegistry = "bsl://"

// backupImageStream decides what becomes of the images of an image stream.
func (a *actions) backupImageStream(_ context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	t, err := backupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	registry, err := a.migrationRegistry(t)
	if err != nil || registry == none {
		return sdk.BackupResult{}, err
	}
	switch {
	case t.Metadata.Annotations[disableImageCopyKey] == "true":
		annotate(item, disableImageCopyKey, "true")
		withoutTags(item)
	case annotation(item, skipImageCopyKey) == "true":
	case registry == "":
		return sdk.BackupResult{}, noMigrationRegistry("Backup", t)
	case hasLocalImages(item):
		return sdk.BackupResult{}, imagesNotCopied()
	default:
		annotate(item, migrationRegistryKey, registry)
	}
	return sdk.BackupResult{}, nil
}

func (a *actions) restoreImageStream(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	registry, err := a.migrationRegistry(&r.task)
	if err != nil || registry == none {
		return sdk.RestoreResult{}, err
	}
	original := backedUp(in)
	switch {
	case annotation(original, disableImageCopyKey) == "true", annotation(original, skipImageCopyKey) == "true":
	case registry == "":
		return sdk.RestoreResult{}, noMigrationRegistry("Restore", &r.task)
	case hasLocalImages(original):
		return sdk.RestoreResult{}, imagesNotCopied()
	}
	return sdk.RestoreResult{}, nil
}

// none is the registry of tasks that copy no images.
const none = "none"

// migrationRegistry returns what images go through: the bucket, or the registry
// of a migration, which is "" if the migration does not say so.
func (a *actions) migrationRegistry(t *task) (string, error) {
	if t.migration() {
		return t.Metadata.Annotations[migrationRegistryKey], nil
	}
	s, err := a.settings()
	if err != nil {
		return "", err
	}
	if s.Bool(imagesSetting) {
		return bucketRegistry, nil
	}
	return none, nil
}

// withoutTags leaves an image stream that names no images.
func withoutTags(stream *unstructured.Unstructured) {
	for _, part := range []string{"spec", "status"} {
		if inner := fieldsAt(stream.Object, part); inner["tags"] != nil {
			inner["tags"] = []any{}
		}
	}
}

// hasLocalImages reports whether any image of the stream is in the registry of
// the cluster that was backed up.
func hasLocalImages(stream *unstructured.Unstructured) bool {
	host := annotation(stream, backupRegistryHostKey)
	for tag := range each(listAt(stream.Object, "status", "tags")) {
		for image := range each(listAt(tag, "items")) {
			if isLocal(textAt(image, "dockerImageReference"), host) {
				return true
			}
		}
	}
	return false
}

// isLocal reports whether an image is in the registry of that host.
func isLocal(image, host string) bool {
	found, _, _ := strings.Cut(image, "/")
	return host != "" && found == host
}
