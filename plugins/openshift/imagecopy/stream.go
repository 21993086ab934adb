package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/images/registry"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// copyOut copies the images of a stream, and writes its tags, to where images
// are kept. A tag whose current image cannot be copied makes an Incomplete error, and
// all else is copied.
func (r imageRoute) copyOut(ctx context.Context, p imagePlan) (Summary, error) {
	c := r.begin(p.repository)
	c.from = func(image plannedImage) []string { return image.repositories }
	c.into = c.from
	if err := c.run(ctx, p); err != nil {
		return Summary{}, err
	}
	c.summary.Owner = r.owner
	failures := errors.Join(c.tag(ctx, p), errors.Join(c.failures...))
	switch {
	case ctx.Err() != nil:
		return Summary{}, context.Cause(ctx)
	case failures != nil:
		return c.summary, &Incomplete{failures}
	}
	return c.summary, nil
}

// copyBack pushes the images of a stream, and its tags, into a repository. What
// cannot be pushed does not hold up the rest. Images come from where the backup
// keeps those of the stream itself, whatever other repositories the stream names.
func (r imageRoute) copyBack(ctx context.Context, p imagePlan, repository string) error {
	c := r.begin(repository)
	c.from = func(plannedImage) []string { return []string{p.repository} }
	c.into = func(plannedImage) []string { return []string{repository} }
	if err := c.run(ctx, p); err != nil {
		return err
	}
	return errors.Join(c.push(ctx, p, repository), errors.Join(c.failures...))
}

// streamCopy is the copy of the images of one stream.
type streamCopy struct {
	imageRoute
	stream string                      // in logs
	from   func(plannedImage) []string // the repositories that may have an image
	into   func(plannedImage) []string // the repositories that an image becomes part of

	mu        sync.Mutex
	summary   Summary
	manifests map[digest.Digest]*images.Manifest // of the images that were copied
	failures  []error                            // of current images
}

func (r imageRoute) begin(stream string) *streamCopy {
	return &streamCopy{imageRoute: r, stream: stream, manifests: map[digest.Digest]*images.Manifest{}}
}

// run copies the images of a plan. One that is missing or damaged does not keep
// the others from being copied. It returns the errors that are not about an image,
// such as those of the connection, which the others would meet as well.
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
	result, err := c.imageRoute.copy(ctx, image.digest, c.from(image), c.into(image))
	if err != nil && isAboutImage(err) {
		c.fail(image, err)
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

// isAboutImage reports whether an image cannot be copied because of itself: the
// source does not have it, has it damaged, or cannot give it.
func isAboutImage(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, images.ErrDamaged) {
		return true
	}
	var source *images.SourceError
	if !errors.As(err, &source) {
		return false
	}
	var coded *fault.Error
	if !errors.As(err, &coded) {
		return !endpoint.IsNetwork(err)
	}
	for _, code := range []fault.Code{registry.CodeDamaged, registry.CodeUnsupported, registry.CodeFailed, registry.CodeRefused} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
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

// fail records an image that cannot be copied: an error if tags stand for it, a
// warning if it is an old one.
func (c *streamCopy) fail(image plannedImage, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(image.currentOf) > 0 {
		c.failures = append(c.failures, imageFailed(image, err))
		return
	}
	slog.Warn("an old image of an image stream cannot be copied and is left out", "imageStream", c.stream, "image", image.reference, "error", err)
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

// tag lets the tags of a plan name their current images, as far as these were
// copied.
func (c *streamCopy) tag(ctx context.Context, p imagePlan) error {
	failures := make([]error, len(p.tags))
	var group errgroup.Group
	group.SetLimit(c.atOnce)
	for n, t := range p.tags {
		history := c.history(t)
		if !t.pushed || len(history) == 0 {
			continue
		}
		group.Go(func() error {
			if err := c.copier.Tag(ctx, p.repository, t.name, history[len(history)-1]); err != nil {
				failures[n] = tagFailed(t.name, err)
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// push pushes the tags of a plan into a repository, each with the history that
// it had. It does so one after the other, since each changes the image stream. A
// tag that the registry refuses does not hold up the others.
func (c *streamCopy) push(ctx context.Context, p imagePlan, repository string) error {
	var failures []error
	for _, t := range p.tags {
		if t.elsewhere != "" {
			slog.Warn("the current image of a tag was not in the registry of the cluster, and the tag is restored without it",
				"imageStream", c.stream, "tag", t.name, "image", t.elsewhere)
		}
		if history := t.rest(c.history(t)); t.pushed && len(history) > 0 {
			err := c.copier.Tag(ctx, repository, t.name, history...)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				failures = append(failures, tagFailed(t.name, err))
			}
		}
	}
	return errors.Join(failures...)
}
