package images

import (
	"context"
	"log/slog"

	"github.com/opencontainers/go-digest"
)

// Copier copies images from one source to one target. Its methods are safe for
// concurrent use, and the limits hold for all of them together.
type Copier struct {
	// contains unexported fields
}

// Limits bound what a Copier does at a time.
type Limits struct {
	Images int // copied at a time
	Blobs  int // copied at a time, of each image
}

// NewCopier returns a copier.
func NewCopier(from Source, to Target, limits Limits, log *slog.Logger) *Copier { return nil }

// Image is what to copy.
type Image struct {
	Digest digest.Digest
	// Sources are the repositories of the source that may have the image, the
	// most likely one first.
	Sources []string
	// Repositories are those of the target that the image becomes part of; the
	// first gets the tags.
	Repositories []string
	// Tags will name the image, unless they already do.
	Tags []string
}

// Result says what became of an image.
type Result struct {
	// Digest is the image's own, or another one if it had to be converted.
	Digest    digest.Digest
	Manifests int
	Blobs     int   // that the image has, each counted once
	Copied    int   // blobs that the target did not have
	Bytes     int64 // read for these
	// Missing are manifests of an index that the source does not have. The index
	// is copied all the same.
	Missing []digest.Digest
}

// Copy copies an image. The error for one that the source does not have is
// fs.ErrNotExist.
func (c *Copier) Copy(ctx context.Context, image Image) (Result, error) { return Result{}, nil }
