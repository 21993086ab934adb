package main

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// deleteImageStream lets go of the images of a stream whose backup is deleted.
// The deletion goes on if that fails: images that stay too long do no harm.
func (a *actions) deleteImageStream(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) error {
	if err := a.releaseImages(ctx, item, b); err != nil {
		slog.Warn("the images of a deleted backup stay in the bucket", "item", describe(item), "error", err)
	}
	return nil
}

// releaseImages says that the backup of a stream needs its images no longer, and
// removes those from the bucket that no backup has needed for a while. Backups
// by the plugin that this one replaces tell no owner and are left alone.
func (a *actions) releaseImages(ctx context.Context, item *unstructured.Unstructured, b *sdk.Backup) error {
	summary, ok := readSummary(item)
	if !ok || summary.Owner == "" {
		return nil
	}
	s, err := a.settings()
	if err != nil || !s.Bool(cleanupSetting) {
		return err
	}
	t, err := storedBackupOf(b)
	if err != nil {
		return err
	}
	plan, err := planImages(item, annotation(item, backupRegistryHostKey))
	if err != nil {
		return err
	}
	released := make([]digest.Digest, len(plan.images))
	for i, image := range plan.images {
		released[i] = image.digest
	}
	cleaner, done, err := a.cleaners.use(ctx, t.key(), describe(item), a.openCleaner(t.storage(), s))
	if err != nil {
		return err
	}
	defer done()
	if err := cleaner.Release(ctx, summary.Owner, released); err != nil {
		return err
	}
	removed, err := cleaner.Sweep(ctx)
	if removed.Images > 0 {
		slog.Info("images that no backup needs were removed from the bucket",
			"images", removed.Images, "blobs", removed.Blobs, "bytes", removed.Bytes)
	}
	return err
}

func (a *actions) openCleaner(request registrysecret.Request, s settings) opener[*layout.Cleaner] {
	return func(ctx context.Context) (*layout.Cleaner, func(), error) {
		opened, done, err := a.openStorage(request)(ctx)
		if err != nil {
			return nil, nil, err
		}
		return layout.NewCleaner(opened, s.Duration(graceSetting), slog.Default()), done, nil
	}
}
