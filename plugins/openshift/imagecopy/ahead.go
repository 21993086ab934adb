package imagecopy

import (
	"context"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// copyAhead begins to copy the images of all streams of a namespace when the
// first of them is backed up. Unless it is told otherwise Velero backs up one
// item after the other, and the images of small streams would go one by one.
//
// Nothing depends on it: the copy of a stream waits for those of its images that
// are on their way, and copies the rest itself.
func (i *Images) copyAhead(ctx context.Context, b *velero.Backup, namespace, host, registry, who string) {
	if b.HasLabelSelector() {
		return // some streams of the namespace may not be in the backup
	}
	_, err := i.ahead.Get(ctx, b.Key(namespace, host), func(ctx context.Context) (bool, error) {
		all, err := i.imagesIn(ctx, b, namespace, host)
		if err != nil || len(all) < 2 {
			return true, err
		}
		route, done, err := i.routeOut(ctx, b, host, registry, who)
		if err != nil {
			return false, err
		}
		go func() {
			defer done()
			route.copyQuietly(context.WithoutCancel(ctx), all)
		}()
		return true, nil
	})
	if err != nil {
		slog.Info("images of the next image streams are not copied ahead", "namespace", namespace, "error", err)
	}
}

// imagesIn returns the images of the streams of a namespace, each once, in the
// order in which Velero comes to them.
func (i *Images) imagesIn(ctx context.Context, b *velero.Backup, namespace, host string) ([]plannedImage, error) {
	var all []plannedImage
	seen := map[string]bool{}
	err := i.cluster.Each(ctx, api.ImageStreams, namespace, kube.Selection{Page: api.ImageStreamPage}, func(stream *unstructured.Unstructured) {
		if fields.Annotation(stream, api.SkipImageCopyKey) == "true" || fields.Label(stream, velero.ExcludeLabel) == "true" {
			return
		}
		plan := planBackup(b, stream, host)
		for _, image := range plan.images {
			if key := plan.repository + "@" + image.digest.String(); !seen[key] {
				seen[key] = true
				all = append(all, image)
			}
		}
	})
	return all, err
}

// copyQuietly copies images whose errors others will meet, too.
func (r imageRoute) copyQuietly(ctx context.Context, all []plannedImage) {
	var group errgroup.Group
	group.SetLimit(r.atOnce)
	for _, image := range all {
		group.Go(func() error {
			if _, err := r.copy(ctx, image.digest, image.repositories, image.repositories); err != nil {
				slog.Debug("an image could not be copied ahead", "image", image.reference, "error", err)
			}
			return nil
		})
	}
	_ = group.Wait() // there are no errors
}
