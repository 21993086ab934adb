package images

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Limits bound what a Copier does at a time. Each is 1 at least.
type Limits struct {
	Images int // copied at a time
	Blobs  int // of each image
}

// Copier copies images from one source to one target. Its methods are safe for
// concurrent use, and the limits hold for all of them together.
type Copier struct {
	from   Source
	to     Target
	blobs  int
	images *semaphore.Weighted
	small  int                 // bytes of the manifests of an image that is not large
	large  *semaphore.Weighted // lets one large image be copied at a time
	log    *slog.Logger
}

// NewCopier returns a copier.
func NewCopier(from Source, to Target, limits Limits, log *slog.Logger) *Copier {
	return &Copier{
		from:   from,
		to:     to,
		blobs:  max(limits.Blobs, 1),
		images: semaphore.NewWeighted(int64(max(limits.Images, 1))),
		small:  smallImages / max(limits.Images, 1),
		large:  semaphore.NewWeighted(1),
		log:    log,
	}
}

// Image is what to copy.
type Image struct {
	Digest digest.Digest
	// Sources are the repositories of the source that may have the image, the
	// most likely one first.
	Sources []string
	// Repositories are those of the target that the image becomes part of. What
	// the first of them has already is not asked of the source.
	Repositories []string
}

// Result says what became of an image.
type Result struct {
	// Manifest is the image's own, or another one if it had to be converted. Of a
	// large one only the digest and the media type are kept.
	Manifest *Manifest
	Blobs    int   // that the image has, each counted once
	Copied   int   // of them, read from the source
	Bytes    int64 // that were read for these
	// Missing are manifests of an index that the source does not have. The index
	// is copied all the same.
	Missing []digest.Digest
}

// Copy copies an image. The error for one that the source does not have is
// fs.ErrNotExist, and a SourceError for one that it cannot give.
//
// The target gets what the image consists of before what names it, so that a
// copy that fails leaves nothing that looks whole.
func (c *Copier) Copy(ctx context.Context, image Image) (Result, error) {
	if err := c.images.Acquire(ctx, 1); err != nil {
		return Result{}, context.Cause(ctx)
	}
	defer c.images.Release(1)
	g := &graph{copier: c, image: image, seen: map[digest.Digest]bool{}}
	defer g.release()
	if err := g.load(ctx, image.Digest); err != nil {
		return Result{}, ofSource(ctx, err)
	}
	old := g.root()
	if err := g.convert(ctx); err != nil {
		return Result{}, ofSource(ctx, err)
	}
	result := Result{Manifest: g.root().brief(), Blobs: len(g.blobs), Missing: g.missing}
	if err := c.to.Announce(ctx, g.announcement(old.Digest)); err != nil {
		return result, err
	}
	if err := g.copyBlobs(ctx, &result); err != nil {
		return result, err
	}
	if err := g.putManifests(ctx); err != nil {
		return result, err
	}
	return result, g.remember(ctx, old)
}

// Tag lets a tag of a repository of the target name images that are there, one
// after the other, so that the last one is current and the others its history.
func (c *Copier) Tag(ctx context.Context, repository, tag string, images ...*Manifest) error {
	if err := c.images.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer c.images.Release(1)
	for _, m := range images {
		if err := c.to.Tag(ctx, repository, tag, m); err != nil {
			return err
		}
	}
	return nil
}

// graph is an image with all that it consists of.
type graph struct {
	copier *Copier
	image  Image
	seen   map[digest.Digest]bool // manifests and blobs

	asked     int         // manifests that were asked for
	bytes     int         // of the manifests that were read
	large     bool        // this is the large image that is being copied
	manifests []*Manifest // each behind those that it names
	blobs     []Descriptor
	missing   []digest.Digest

	config []byte // of an image that was converted
}

// Limits of one image. Manifests are held in memory while their image is copied,
// and whoever pushes images decides how many there are and how large. So all
// images that are copied at a time share smallImages, and one more at a time may
// have as much as maxManifestBytes.
const (
	maxManifests     = 1000     // of an index, in sum
	maxBlobs         = 20_000   // of all its manifests
	maxManifestBytes = 32 << 20 // of all its manifests
	smallImages      = 16 << 20 // of the manifests of all images that are copied at a time
)

// release lets another large image be copied.
func (g *graph) release() {
	if g.large {
		g.copier.large.Release(1)
	}
}

// root is the manifest of the image itself.
func (g *graph) root() *Manifest { return g.manifests[len(g.manifests)-1] }

// load reads a manifest and those that it names.
func (g *graph) load(ctx context.Context, d digest.Digest) error {
	g.seen[d] = true
	if g.asked++; g.asked > maxManifests {
		return fmt.Errorf("image %s has more than %d manifests", g.image.Digest, maxManifests)
	}
	m, err := g.manifest(ctx, d)
	if err != nil {
		return err
	}
	if err := g.count(ctx, m); err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if g.seen[child.Digest] {
			continue
		}
		err := g.load(ctx, child.Digest)
		if errors.Is(err, fs.ErrNotExist) {
			g.missing = append(g.missing, child.Digest)
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(m.Manifests) > 0 && !slices.ContainsFunc(m.Manifests, func(child Descriptor) bool { return g.has(child.Digest) }) {
		return fmt.Errorf("%w: none of the %d manifests of index %s", fs.ErrNotExist, len(m.Manifests), d)
	}
	g.manifests = append(g.manifests, m)
	for _, b := range m.Blobs {
		if !g.seen[b.Digest] {
			g.seen[b.Digest] = true
			g.blobs = append(g.blobs, b)
		}
	}
	if len(g.blobs) > maxBlobs {
		return fmt.Errorf("image %s has more than %d layers and configurations", g.image.Digest, maxBlobs)
	}
	return nil
}

// count adds a manifest to what the image takes of the memory. A large image
// waits until no other one is copied.
func (g *graph) count(ctx context.Context, m *Manifest) error {
	if m.schema1() && m.Digest != g.image.Digest {
		return fmt.Errorf("index %s names manifest %s of schema 1, which cannot be copied as a part of an index", g.image.Digest, m.Digest)
	}
	g.bytes += len(m.Content)
	if g.bytes > maxManifestBytes {
		return fmt.Errorf("the manifests of image %s have more than %d MiB together", g.image.Digest, maxManifestBytes>>20)
	}
	if g.bytes <= g.copier.small || g.large {
		return nil
	}
	if err := g.copier.large.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	g.large = true
	return nil
}

// has reports whether a manifest is loaded.
func (g *graph) has(d digest.Digest) bool {
	return slices.ContainsFunc(g.manifests, func(m *Manifest) bool { return m.Digest == d })
}

// manifest reads a manifest from the target if it is there, else from the
// source; from an archive only if the source does not have it.
func (g *graph) manifest(ctx context.Context, d digest.Digest) (*Manifest, error) {
	repository := g.image.Repositories[0]
	if archive, ok := g.copier.to.(Archive); ok {
		m, err := g.sourceManifest(ctx, d)
		if errors.Is(err, fs.ErrNotExist) {
			if archived, err := archive.Archived(ctx, repository, d); err == nil {
				return archived, nil
			}
		}
		return m, err
	}
	m, err := g.copier.to.Manifest(ctx, repository, d)
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		g.copier.log.Debug("a manifest of the target cannot be used and is copied again", "digest", d.String(), "error", err.Error())
	}
	return g.sourceManifest(ctx, d)
}

func (g *graph) sourceManifest(ctx context.Context, d digest.Digest) (*Manifest, error) {
	m, err := firstOf(g.image.Sources, func(repository string) (*Manifest, error) {
		return g.copier.from.Manifest(ctx, repository, d)
	})
	if errors.Is(err, ErrDamaged) {
		g.recordDamage(ctx, d)
	}
	return m, err
}

// firstOf asks the repositories in turn until one has it.
func firstOf[T any](repositories []string, ask func(repository string) (T, error)) (T, error) {
	var none T
	err := error(fs.ErrNotExist)
	for _, repository := range repositories {
		found, failure := ask(repository)
		if failure == nil {
			return found, nil
		}
		if err = failure; !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return none, err
}

// announcement names all that the image consists of. What it was converted from
// belongs to that, as it proves the conversion.
func (g *graph) announcement(old digest.Digest) Announcement {
	contents := make([]digest.Digest, 0, len(g.manifests)+len(g.blobs)+1)
	if g.config != nil {
		contents = append(contents, old)
	}
	for _, m := range g.manifests {
		contents = append(contents, m.Digest)
	}
	for _, b := range g.blobs {
		contents = append(contents, b.Digest)
	}
	return Announcement{Digest: g.root().Digest, Repositories: g.image.Repositories, Contents: contents}
}

// copyBlobs makes the blobs part of the repositories and counts those that were
// read from the source.
func (g *graph) copyBlobs(ctx context.Context, result *Result) error {
	var copied, read atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(g.copier.blobs)
	for _, b := range g.blobs {
		group.Go(func() error {
			n, err := g.copyBlob(ctx, b)
			if n > 0 {
				copied.Add(1)
				read.Add(n)
			}
			return err
		})
	}
	err := group.Wait()
	result.Copied, result.Bytes = int(copied.Load()), read.Load()
	return err
}

// copyBlob makes a blob part of the repositories. Registries take a manifest with
// a foreign layer without having the layer, so the target's having it does not
// mean that it belongs to this image.
func (g *graph) copyBlob(ctx context.Context, b Descriptor) (int64, error) {
	open := func(ctx context.Context) (io.ReadCloser, error) { return g.open(ctx, b) }
	if b.Foreign() {
		body, err := open(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil // whoever pulls the image gets it from its URL
		}
		if err != nil {
			return 0, cmp.Or(context.Cause(ctx), fmt.Errorf("blob %s of image %s: %w", b.Digest, g.image.Digest, err))
		}
		_ = body.Close()
	}
	var read int64
	for _, repository := range g.image.Repositories {
		n, err := g.copier.to.PutBlob(ctx, repository, b, open)
		read += n
		if errors.Is(err, ErrDamaged) && ctx.Err() == nil {
			g.recordDamage(ctx, b.Digest)
			err = ofSource(ctx, err)
		}
		if err != nil {
			return read, cmp.Or(context.Cause(ctx), fmt.Errorf("blob %s of image %s: %w", b.Digest, g.image.Digest, err))
		}
	}
	return read, nil
}

// open reads a blob from the source.
func (g *graph) open(ctx context.Context, b Descriptor) (io.ReadCloser, error) {
	if g.config != nil && b.Digest == g.blobs[0].Digest {
		return io.NopCloser(bytes.NewReader(g.config)), nil
	}
	body, err := firstOf(g.image.Sources, func(repository string) (io.ReadCloser, error) {
		return g.copier.from.Blob(ctx, repository, b)
	})
	if err != nil {
		return nil, ofSource(ctx, err)
	}
	return &sourceBlob{body, ctx}, nil
}

// sourceBlob marks the errors of a blob that is read as those of the source.
type sourceBlob struct {
	io.ReadCloser
	ctx context.Context
}

// Read implements io.Reader.
func (b *sourceBlob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, ofSource(b.ctx, err)
}

// recordDamage lets a source remember that a blob is damaged.
func (g *graph) recordDamage(ctx context.Context, d digest.Digest) {
	source, ok := g.copier.from.(DamageRecorder)
	if !ok {
		return
	}
	if err := source.RecordDamage(ctx, d); err != nil {
		g.copier.log.Warn("that a blob is damaged could not be noted, so the next backup may not replace it", "digest", d.String(), "error", err.Error())
	}
}

// putManifests makes the manifests part of the repositories, the image's own
// last.
func (g *graph) putManifests(ctx context.Context) error {
	for _, repository := range g.image.Repositories {
		for _, m := range g.manifests {
			if err := g.copier.to.PutManifest(ctx, repository, m); err != nil {
				return fmt.Errorf("manifest %s of image %s: %w", m.Digest, g.image.Digest, err)
			}
		}
	}
	return nil
}
