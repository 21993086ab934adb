package images

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
)

// Source is where images are read from. Methods are safe for concurrent use.
type Source interface {
	// Manifest returns a manifest of a repository, whose content has that
	// digest. The error for one that is not there is fs.ErrNotExist.
	Manifest(ctx context.Context, repository string, d digest.Digest) (*Manifest, error)
	// Blob reads a blob of a repository. A connection that breaks is resumed;
	// whether the content has the digest is for the reader to verify. The error
	// for a blob that is not there is fs.ErrNotExist.
	Blob(ctx context.Context, repository string, b Descriptor) (io.ReadCloser, error)
}

// Target is where images are written to. Methods are safe for concurrent use,
// also for the same blob or manifest.
type Target interface {
	// Manifest returns a manifest that the repository already has, as Source
	// does. Its blobs may be missing.
	Manifest(ctx context.Context, repository string, d digest.Digest) (*Manifest, error)
	// Announce tells what is going to be copied. Nothing of it is looked for or
	// written before Announce has returned.
	Announce(ctx context.Context, image Announcement) error
	// PutBlob makes a blob part of a repository. If the target does not have it,
	// the blob is read from open, which may be called again after a failure, and
	// written only if its content has the digest and the size. It returns the
	// number of bytes that were read for it.
	PutBlob(ctx context.Context, repository string, b Descriptor, open Open) (int64, error)
	// PutManifest makes a manifest part of a repository that has all blobs and
	// manifests that it names.
	PutManifest(ctx context.Context, repository string, m *Manifest) error
	// Tag lets a tag of a repository name a manifest of the same repository. The
	// content of the manifest may be left out: a Result has none of large ones.
	Tag(ctx context.Context, repository, tag string, m *Manifest) error
}

// Archive is a Target that keeps images for later. Its manifests are asked for
// only if the source does not have them: content that the archive has from other
// repositories does not prove that the source's repository has it, and the archive
// is farther away.
type Archive interface {
	Target
	// Archived returns a manifest that the repository of the archive has, as
	// Manifest does.
	Archived(ctx context.Context, repository string, d digest.Digest) (*Manifest, error)
}

// SourceError says that an image could not be read, or cannot be copied because
// of what it is. It is not about the target, and no error for what does not exist.
type SourceError struct{ Err error }

// Error implements error.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// ofSource returns err as that of the source, unless it is fs.ErrNotExist or the
// caller's end.
func ofSource(ctx context.Context, err error) error {
	if err == nil || err == io.EOF || ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &SourceError{err}
}

// DamageRecorder is a Source that remembers what was found damaged, so that a
// later backup replaces it. Whether the blob is damaged it finds out by itself.
type DamageRecorder interface {
	RecordDamage(ctx context.Context, d digest.Digest) error
}

// Open reads a blob from its first byte.
type Open func(ctx context.Context) (io.ReadCloser, error)

// Announcement is an image on its way, with all that belongs to it.
type Announcement struct {
	Digest       digest.Digest
	Repositories []string        // that the image becomes part of
	Contents     []digest.Digest // of all manifests and blobs, the image's own manifest included
}

// Descriptor names a blob or manifest as manifests do.
type Descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`           // bytes
	URLs      []string      `json:"urls,omitempty"` // where clients get a foreign layer; of a manifest that was read, the first
}
