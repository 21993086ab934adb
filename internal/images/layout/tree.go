package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// Tree reads images from a bucket and, for one backup, writes them. Its methods
// are safe for concurrent use.
//
// What was seen or written under the backup's announcements is remembered and
// not looked at again, so a Tree belongs to one backup and ends with it.
type Tree struct {
	bucket objectstore.Bucket
	backup Backup
	log    *slog.Logger

	mu           sync.Mutex
	entries      map[digest.Digest]*ownEntry // by image
	puttable     map[place]bool              // what was announced
	repositories map[string]*repository
	blobs        sharedwork.Once[digest.Digest, int64]    // that are there
	damaged      sharedwork.Once[string, map[string]bool] // notes of damaged blobs
}

var (
	_ images.Source      = (*Tree)(nil)
	_ images.Archive     = (*Tree)(nil)
	_ images.Conversions = (*Tree)(nil)
)

// NewTree returns the tree of a bucket. backup is what images are written for;
// it may be empty if they are only read.
func NewTree(bucket objectstore.Bucket, backup Backup, log *slog.Logger) *Tree {
	return &Tree{
		bucket:       bucket,
		backup:       backup,
		log:          log,
		entries:      map[digest.Digest]*ownEntry{},
		puttable:     map[place]bool{},
		repositories: map[string]*repository{},
	}
}

// Manifest implements images.Source and images.Target. Content is found by its
// digest alone: the manifest may have come with another repository, and links of
// this one that were lost do no harm. So it says nothing about what the
// repository has; PutBlob, PutManifest and Tag look for that themselves.
func (t *Tree) Manifest(ctx context.Context, _ string, d digest.Digest) (*images.Manifest, error) {
	return readManifest(ctx, t.bucket, d)
}

// Archived implements images.Archive.
func (t *Tree) Archived(ctx context.Context, repository string, d digest.Digest) (*images.Manifest, error) {
	if err := haveRevision(ctx, t.bucket, repository, d); err != nil {
		return nil, err
	}
	return readManifest(ctx, t.bucket, d)
}

// haveRevision returns fs.ErrNotExist unless a manifest is part of a repository.
func haveRevision(ctx context.Context, bucket objectstore.Bucket, repository string, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	name, err := repositoryName(repository)
	if err != nil {
		return err
	}
	_, err = bucket.Stat(ctx, revisionLink(name, d))
	return err
}

func readManifest(ctx context.Context, bucket objectstore.Bucket, d digest.Digest) (*images.Manifest, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, err)
	}
	content, err := read(ctx, bucket, blobKey(d), images.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	m, err := images.ParseManifest(content, "", d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", blobKey(d), err)
	}
	return m, nil
}

// Blob implements images.Source. As with Manifest, the digest is all that counts.
func (t *Tree) Blob(ctx context.Context, _ string, b images.Descriptor) (io.ReadCloser, error) {
	if err := b.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", b.Digest, err)
	}
	return t.bucket.Get(ctx, blobKey(b.Digest))
}

// read returns the content of a small object.
func read(ctx context.Context, bucket objectstore.Bucket, key string, limit int64) ([]byte, error) {
	r, err := bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: %w than the %d bytes that are read", key, errTooLarge, limit)
	}
	return content, nil
}

var errTooLarge = errors.New("the object is larger")
