package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// RestoreTree reads the images of one backup from a bucket. Its methods are safe
// for concurrent use.
//
// All backups of a bucket share its blobs, and whoever can edit an image stream
// can let it name any digest. So an image is read only if the index has an entry
// of the very backup for it. Backups by the plugin that ours replaces have no
// entries; their images are read if they are part of the repository that is asked
// for, which the caller takes from the name of the image stream.
type RestoreTree struct {
	// Writable says that notes of damaged blobs may be written to the bucket.
	Writable bool

	tree   *Tree
	backup Backup

	mu        sync.Mutex
	owner     string                 // of the first entry that was found, which others will have too
	permitted map[digest.Digest]bool // manifests of images that may be read
}

var _ images.Source = (*RestoreTree)(nil)

// NewRestoreTree returns the images of a backup. Of the backup only the name and
// the prefix of the location count: they tell where in the bucket Velero keeps it,
// and stay the same when another cluster restores it.
func NewRestoreTree(bucket objectstore.Bucket, backup Backup, log *slog.Logger) *RestoreTree {
	return &RestoreTree{tree: NewTree(bucket, Backup{}, log), backup: backup, permitted: map[digest.Digest]bool{}}
}

// Manifest implements images.Source.
func (t *RestoreTree) Manifest(ctx context.Context, repository string, d digest.Digest) (*images.Manifest, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, err)
	}
	if !t.isPermitted(d) {
		if err := t.permit(ctx, repository, d); err != nil {
			return nil, err
		}
	}
	m, err := t.tree.Manifest(ctx, repository, d)
	if err == nil {
		t.add(digests(m.Manifests))
	}
	return m, err
}

// Blob implements images.Source. What a permitted manifest names belongs to its
// image, as no registry takes the manifest otherwise. That is different with
// foreign layers, which must be part of the repository.
func (t *RestoreTree) Blob(ctx context.Context, repository string, b images.Descriptor) (io.ReadCloser, error) {
	if b.Foreign() {
		name, err := repositoryName(repository)
		if err == nil {
			err = b.Digest.Validate()
		}
		if err != nil {
			return nil, err
		}
		if _, err := t.tree.bucket.Stat(ctx, layerLink(name, b.Digest)); err != nil {
			return nil, err
		}
	}
	return t.tree.Blob(ctx, repository, b)
}

// AllConverted returns what images were converted to, as of [Tree.AllConverted].
func (t *RestoreTree) AllConverted(ctx context.Context) (map[digest.Digest]digest.Digest, error) {
	return t.tree.AllConverted(ctx)
}

func (t *RestoreTree) isPermitted(d digest.Digest) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.permitted[d]
}

func (t *RestoreTree) add(manifests []digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range manifests {
		t.permitted[d] = true
	}
}

// permit permits an image that the backup has.
func (t *RestoreTree) permit(ctx context.Context, repository string, image digest.Digest) error {
	mine, err := t.hasEntry(ctx, image)
	if err != nil {
		return err
	}
	if !mine {
		err := haveRevision(ctx, t.tree.bucket, repository, image)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("image %s is not in backup %s, nor in repository %s of the bucket: %w", image, t.backup.Name, repository, fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
	}
	t.add([]digest.Digest{image})
	return nil
}

// hasEntry reports whether the index has an entry of the backup for an image.
func (t *RestoreTree) hasEntry(ctx context.Context, image digest.Digest) (bool, error) {
	t.mu.Lock()
	owner := t.owner
	t.mu.Unlock()
	if owner != "" {
		e, err := readEntry(ctx, t.tree.bucket, entryKey(image, owner), image)
		if err == nil && e.isOf(t.backup) {
			return true, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	for o, err := range t.tree.bucket.List(ctx, entryKey(image, "")) {
		if err != nil {
			return false, err
		}
		_, owner, err := parseKey(o.Key, entriesRoot)
		if err != nil {
			return false, err
		}
		e, err := readEntry(ctx, t.tree.bucket, o.Key, image)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its backup was deleted meanwhile
		}
		if err != nil {
			// Another backup's damaged entry does not keep this one from being restored.
			t.tree.log.Warn("an entry of the index of images cannot be read", "key", o.Key, "error", err.Error())
			continue
		}
		if e.isOf(t.backup) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.owner = owner
			return true, nil
		}
	}
	return false, nil
}
