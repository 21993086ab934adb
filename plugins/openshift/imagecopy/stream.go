package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// copyOut copies the images of a stream, and writes its tags, to where images
// are kept. None of its current images may be missing.
func (r imageRoute) copyOut(ctx context.Context, p imagePlan) (Summary, error) {
	c := r.begin(p.repository, func(image plannedImage) []string { return image.repositories })
	if err := c.run(ctx, p); err != nil {
		return Summary{}, err
	}
	if err := errors.Join(c.missing...); err != nil {
		return Summary{}, err
	}
	c.summary.Owner = r.owner
	return c.summary, c.tag(ctx, p)
}

// copyBack pushes the images of a stream, and its tags, into a repository. What
// is missing does not hold up the rest.
func (r imageRoute) copyBack(ctx context.Context, p imagePlan, repository string) error {
	c := r.begin(repository, func(plannedImage) []string { return []string{repository} })
	if err := c.run(ctx, p); err != nil {
		return err
	}
	return errors.Join(c.push(ctx, p, repository), errors.Join(c.missing...))
}

// streamCopy is the copy of the images of one stream.
type streamCopy struct {
	imageRoute
	stream string                      // in logs
	into   func(plannedImage) []string // the repositories that an image becomes part of

	mu        sync.Mutex
	summary   Summary
	manifests map[digest.Digest]*images.Manifest // of the images that were copied
	missing   []error                            // of images that must not be missing
}

func (r imageRoute) begin(stream string, into func(plannedImage) []string) *streamCopy {
	return &streamCopy{imageRoute: r, stream: stream, into: into, manifests: map[digest.Digest]*images.Manifest{}}
}

// run copies the images of a plan. An old image that the source no longer has is
// logged and left out. A current one is an error, which is that of missing, and
// the others are copied all the same.
func (c *streamCopy) run(ctx context.Context, p imagePlan) error {
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.atOnce)
	for _, image := range p.images {
		group.Go(func() error { return c.copy(ctx, image) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slog.Info("the images of an image stream are copied", "imageStream", c.stream, "images", c.summary.Images,
		"blobs", c.summary.Blobs, "copied", c.summary.Copied, "bytes", c.summary.Bytes, "duration", time.Since(begun).String())
	return nil
}

func (c *streamCopy) copy(ctx context.Context, image plannedImage) error {
	begun := time.Now()
	result, err := c.imageRoute.copy(ctx, image, c.into(image))
	if errors.Is(err, fs.ErrNotExist) {
		c.miss(image, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", image.reference, err)
	}
	log := slog.With("imageStream", c.stream, "image", image.reference)
	log.Info("image copied", "digest", result.Manifest.Digest.String(), "blobs", result.Blobs,
		"copied", result.Copied, "bytes", result.Bytes, "duration", time.Since(begun).String())
	if len(result.Missing) > 0 {
		log.Warn("the registry lacks parts of an image for several architectures, which is copied without them", "missing", result.Missing)
	}
	c.count(image.digest, result)
	return nil
}

func (c *streamCopy) count(d digest.Digest, result images.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manifests[d] = result.Manifest
	c.summary.Images++
	c.summary.Blobs += result.Blobs
	c.summary.Copied += result.Copied
	c.summary.Bytes += result.Bytes
	c.summary.Missing = append(c.summary.Missing, result.Missing...)
	if now := result.Manifest.Digest; now != d {
		if c.summary.Converted == nil {
			c.summary.Converted = map[digest.Digest]digest.Digest{}
		}
		c.summary.Converted[d] = now
	}
}

// miss records an image that is not to be had.
func (c *streamCopy) miss(image plannedImage, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(image.currentOf) > 0 {
		c.missing = append(c.missing, imageMissing(image, err))
		return
	}
	slog.Warn("an old image of an image stream is gone and is left out", "imageStream", c.stream, "image", image.reference, "error", err)
	c.summary.Missing = append(c.summary.Missing, image.digest)
}

// history returns the manifests of a tag that were copied, the current one last.
// There are none if the current one was not.
func (c *streamCopy) history(t plannedTag) []*images.Manifest {
	var manifests []*images.Manifest
	for _, d := range t.digests {
		m := c.manifests[d]
		if m != nil {
			manifests = append(manifests, m)
		} else if d == t.digests[len(t.digests)-1] {
			return nil
		}
	}
	return manifests
}

// tag lets the tags of a plan name their current images, all of which were
// copied.
func (c *streamCopy) tag(ctx context.Context, p imagePlan) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.atOnce)
	for _, t := range p.tags {
		if !t.pushed {
			continue
		}
		group.Go(func() error {
			history := c.history(t)
			if err := c.copier.Tag(ctx, p.repository, t.name, history[len(history)-1]); err != nil {
				return tagFailed(t.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// push pushes the tags of a plan into a repository, each with the history that
// it had. It does so one after the other, since each changes the image stream.
func (c *streamCopy) push(ctx context.Context, p imagePlan, repository string) error {
	for _, t := range p.tags {
		if t.elsewhere != "" {
			slog.Warn("the current image of a tag was not in the registry of the cluster, and the tag is restored without it",
				"imageStream", c.stream, "tag", t.name, "image", t.elsewhere)
		}
		if history := t.rest(c.history(t)); t.pushed && len(history) > 0 {
			if err := c.copier.Tag(ctx, repository, t.name, history...); err != nil {
				return tagFailed(t.name, err)
			}
		}
	}
	return nil
}
