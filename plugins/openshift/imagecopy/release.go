package imagecopy

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Release says that the backup of a stream needs its images no longer, and
// removes those from the bucket that no backup has needed for a while. Backups
// by the plugin that this one replaces tell no owner and are left alone.
func (i *Images) Release(ctx context.Context, item *unstructured.Unstructured, b *velero.Backup) error {
	summary, ok := ReadSummary(item)
	if !ok || summary.Owner == "" {
		return nil
	}
	s, err := i.settings()
	if err != nil || !s.Bool(settings.Cleanup) {
		return err
	}
	plan := planImages(item, fields.Annotation(item, api.BackupRegistryHostKey))
	released := make([]digest.Digest, len(plan.images))
	for n, image := range plan.images {
		released[n] = image.digest
	}
	c, done, err := i.cleaners.use(ctx, b.Key(), fields.Describe(item), i.openCleaner(locationOf(b), s))
	if err != nil {
		return err
	}
	defer done()
	deleted := layout.Backup{Prefix: c.prefix, Name: b.Metadata.Name}
	if err := c.Release(ctx, deleted, summary.Owner, released); err != nil {
		return err
	}
	removed, err := c.SweepIfDue(ctx)
	if removed.Images > 0 {
		slog.Info("images that no backup needs were removed from the bucket",
			"images", removed.Images, "blobs", removed.Blobs, "bytes", removed.Bytes)
	}
	return err
}

// cleaner cleans the bucket of a location.
type cleaner struct {
	*layout.Cleaner
	prefix string // of the location
}

func (i *Images) openCleaner(request registrysecret.Request, s config.Values) opener[cleaner] {
	return func(ctx context.Context) (cleaner, func(), error) {
		opened, done, err := i.openStorage(request)(ctx)
		if err != nil {
			return cleaner{}, nil, err
		}
		return cleaner{layout.NewCleaner(opened, s.Duration(settings.Grace), slog.Default()), opened.location.Prefix}, done, nil
	}
}
