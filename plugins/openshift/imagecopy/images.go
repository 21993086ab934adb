// Package imagecopy copies the images of image streams from the registry of the
// cluster to where a backup keeps them, and back. That is the bucket of the
// backup storage location or, in a migration, a registry that both clusters
// reach.
package imagecopy

import (
	"context"
	"errors"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Images copies the images of image streams. Methods are safe for concurrent
// use.
type Images struct {
	cluster  *kube.Cluster
	settings func() (config.Values, error)

	names     kube.Memo[map[string]bool] // of the image streams of a namespace
	ahead     kube.Memo[bool]
	converted kube.Memo[conversions]
	storages  pool[storage]
	routes    pool[imageRoute]
	cleaners  pool[cleaner]
}

// New returns the copying of images of a cluster.
func New(cluster *kube.Cluster, settings func() (config.Values, error)) *Images {
	return &Images{
		cluster:   cluster,
		settings:  settings,
		ahead:     kube.Memo[bool]{Lifetime: kube.WholeTask},
		converted: kube.Memo[conversions]{Lifetime: kube.WholeTask},
	}
}

// Bucket is the migration registry of an image stream whose images are
// in the bucket of the backup.
const Bucket = "bsl://"

// None is the registry of backups and restores that copy no images.
const None = "none"

// Registry returns what images go through: the bucket, or the registry
// of a migration, which is "" if the migration does not say so.
func (i *Images) Registry(t *velero.Task) (string, error) {
	if api.Migration(t.Metadata.Labels) {
		return t.Metadata.Annotations[api.MigrationRegistryKey], nil
	}
	s, err := i.settings()
	if err != nil {
		return "", err
	}
	if s.Bool(settings.Images) {
		return Bucket, nil
	}
	return None, nil
}

// CopyOut copies the images of a stream to where they are kept, and notes in the
// stream where that is. A stream without images of the cluster's registry needs
// no bucket, and so no credential for one. After an Incomplete error the stream is
// as after a success, and belongs into the backup.
func (i *Images) CopyOut(ctx context.Context, b *velero.Backup, item *unstructured.Unstructured, registry string) error {
	if registry == "" {
		return noMigrationRegistry("Backup", &b.Task)
	}
	host := fields.Annotation(item, api.BackupRegistryHostKey)
	plan := planBackup(b, item, host)
	summary, err := i.copyStream(ctx, b, item, plan, registry)
	if errors.Is(err, CodeImageMissing) {
		// A missing image is none of a stream or tag that somebody has deleted since
		// Velero has listed the stream.
		if deleted, lookErr := i.deletedTags(ctx, item, plan); lookErr == nil && len(deleted) > 0 {
			removeTags(item, deleted)
			plan = planBackup(b, item, host)
			summary, err = i.copyStream(ctx, b, item, plan, registry)
		}
	}
	if incomplete := (*Incomplete)(nil); err != nil && !errors.As(err, &incomplete) {
		return err
	}
	if failures := errors.Join(plan.unreadable, err); failures != nil {
		err = &Incomplete{failures}
	}
	summary.rewrite(item, host)
	RemoveBookkeeping(item)
	if len(plan.images) > 0 {
		if err := summary.annotate(item); err != nil {
			return err
		}
	}
	fields.Annotate(item, api.MigrationRegistryKey, registry)
	return err
}

// copyStream copies the images of a plan, for which it opens the way only if
// there are any.
func (i *Images) copyStream(ctx context.Context, b *velero.Backup, item *unstructured.Unstructured, plan imagePlan, registry string) (Summary, error) {
	if len(plan.images) == 0 {
		return Summary{}, nil
	}
	host, who := fields.Annotation(item, api.BackupRegistryHostKey), fields.Describe(item)
	route, done, err := i.routeOut(ctx, b, host, registry, who)
	if err != nil {
		return Summary{}, err
	}
	defer done()
	i.copyAhead(ctx, b, item.GetNamespace(), host, registry, who)
	return route.copyOut(ctx, plan)
}

// WarnNotCopied says that a stream is restored without its images, as none are
// copied.
func WarnNotCopied(stream *unstructured.Unstructured) {
	plan := planImages(stream, fields.Annotation(stream, api.BackupRegistryHostKey))
	if plan.unreadable != nil || len(plan.images) > 0 {
		slog.Warn("an image stream is restored without its images, as spec.backupImages of the DataProtectionApplication is off",
			"imageStream", stream.GetNamespace()+"/"+stream.GetName(), "images", len(plan.images))
	}
}

// CopyBack creates the stream of an item and pushes the images that it had when
// it was backed up. It reports false for a stream without images to push, which
// is left to Velero.
func (i *Images) CopyBack(ctx context.Context, r *velero.Restore, item, original *unstructured.Unstructured, registry string) (created bool, err error) {
	if registry == "" {
		return false, noMigrationRegistry("Restore", &r.Task)
	}
	plan := planImages(original, fields.Annotation(original, api.BackupRegistryHostKey))
	if len(plan.images) == 0 {
		return false, plan.unreadable
	}
	if !fields.HasAnnotation(original, api.MigrationRegistryKey) {
		slog.Warn("the backup of an image stream has no images, and so it is restored without them", "imageStream", plan.repository)
		return false, nil
	}
	return true, errors.Join(plan.unreadable, i.copyBack(ctx, r, item, original, plan, registry))
}

// copyBack creates the stream of an item and pushes the images of a plan into it.
func (i *Images) copyBack(ctx context.Context, r *velero.Restore, item, original *unstructured.Unstructured, plan imagePlan, registry string) error {
	route, done, err := i.routeBack(ctx, r, fields.Annotation(item, api.RestoreRegistryHostKey), registry, fields.Describe(item))
	if err != nil {
		return err
	}
	defer done()
	if item.GetNamespace() == "" {
		return errors.New("it has no namespace to be restored to")
	}
	stream := newStream(r, item, original, plan)
	present, err := i.ensureStream(ctx, r, stream)
	if err != nil {
		return err
	}
	switch {
	case present == nil:
	case r.Spec.ExistingResourcePolicy == "update":
		if err := i.updateTags(ctx, stream, present, plan); err != nil {
			return err
		}
		plan = plan.over(histories(present))
	default:
		var others []differing
		plan, others = plan.missingIn(histories(present))
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
