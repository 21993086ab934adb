package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// bucketRegistry is the migration registry of an image stream whose images are
// in the bucket of the backup.
const bucketRegistry = "bsl://"

// backupImageStream copies the images of an image stream that are in the
// registry of the cluster.
func (a *actions) backupImageStream(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) (sdk.BackupResult, error) {
	t, err := storedBackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	registry, err := a.migrationRegistry(&t.task)
	if err != nil || registry == none {
		return sdk.BackupResult{}, err
	}
	switch {
	case t.Metadata.Annotations[disableImageCopyKey] == "true":
		annotate(item, disableImageCopyKey, "true")
		withoutTags(item)
	case annotation(item, skipImageCopyKey) == "true":
	case registry == "":
		return sdk.BackupResult{}, noMigrationRegistry("Backup", &t.task)
	default:
		return sdk.BackupResult{}, a.copyOut(ctx, t, item, registry)
	}
	return sdk.BackupResult{}, nil
}

// copyOut copies the images of a stream to where they are kept, and notes in the
// stream where that is. A stream without images of the cluster's registry needs
// no bucket, and so no credential for one.
func (a *actions) copyOut(ctx context.Context, b *storedBackup, item *unstructured.Unstructured, registry string) error {
	host := annotation(item, backupRegistryHostKey)
	plan, err := planImages(item, host)
	if err != nil {
		return err
	}
	if len(plan.images) > 0 {
		route, done, err := a.routeOut(ctx, b, host, registry, describe(item))
		if err != nil {
			return err
		}
		defer done()
		a.copyAhead(ctx, b, item.GetNamespace(), host, registry, describe(item))
		summary, err := route.copyOut(ctx, plan)
		if err != nil {
			return err
		}
		summary.rewrite(item, host)
		if err := summary.annotate(item); err != nil {
			return err
		}
	}
	annotate(item, migrationRegistryKey, registry)
	return nil
}

// restoreImageStream creates an image stream and pushes its images. One without
// images of a registry of its own is left to Velero.
func (a *actions) restoreImageStream(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	registry, err := a.migrationRegistry(&r.task)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	original := backedUp(in)
	if registry == none {
		warnOfImages(original)
		return sdk.RestoreResult{}, nil
	}
	if annotation(original, disableImageCopyKey) == "true" || annotation(original, skipImageCopyKey) == "true" {
		return sdk.RestoreResult{}, nil
	}
	if registry == "" {
		return sdk.RestoreResult{}, noMigrationRegistry("Restore", &r.task)
	}
	plan, err := planImages(original, annotation(original, backupRegistryHostKey))
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	if len(plan.images) == 0 {
		withoutBookkeeping(in.Item)
		return sdk.RestoreResult{}, nil
	}
	if !hasAnnotation(original, migrationRegistryKey) {
		slog.Warn("the backup of an image stream has no images, and so it is restored without them", "imageStream", plan.repository)
		return sdk.RestoreResult{}, nil
	}
	return sdk.RestoreResult{Skip: true}, a.copyBack(ctx, r, in.Item, plan, registry)
}

// warnOfImages says that a stream is restored without its images, as none are
// copied.
func warnOfImages(stream *unstructured.Unstructured) {
	plan, err := planImages(stream, annotation(stream, backupRegistryHostKey))
	if err != nil || len(plan.images) > 0 {
		slog.Warn("an image stream is restored without its images, as spec.backupImages of the DataProtectionApplication is off",
			"imageStream", stream.GetNamespace()+"/"+stream.GetName(), "images", len(plan.images))
	}
}

// copyBack creates the stream of an item and pushes the images of a plan into it.
func (a *actions) copyBack(ctx context.Context, r *restore, item *unstructured.Unstructured, plan imagePlan, registry string) error {
	route, done, err := a.routeBack(ctx, r, annotation(item, restoreRegistryHostKey), registry, describe(item))
	if err != nil {
		return err
	}
	defer done()
	stream := newStream(r, item, plan)
	present, err := a.ensureStream(ctx, r, stream)
	if err != nil {
		return err
	}
	switch {
	case present == nil:
	case r.Spec.ExistingResourcePolicy == "update":
		plan = plan.over(present)
	default:
		var others []differing
		plan, others = plan.missingIn(readStream(present))
		warnOfOthers(stream, others)
	}
	return route.copyBack(ctx, plan, stream.GetNamespace()+"/"+stream.GetName())
}

func warnOfOthers(stream *unstructured.Unstructured, others []differing) {
	for _, o := range others {
		slog.Warn("a tag of an image stream that is there already stands for another image than in the backup and is left alone",
			"imageStream", stream.GetNamespace()+"/"+stream.GetName(), "tag", o.tag,
			"inBackup", o.inBackup.String(), "inCluster", o.present.String())
	}
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
