package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// repository is what is known of the links of a repository. The first entry of
// this backup that names the repository keeps all sweeps away from its links until
// the backup has ended, so they are listed once, after that entry was announced.
type repository struct {
	name string

	mu    sync.Mutex
	right map[string]bool                           // keys of links that are there with the right content
	view  sharedwork.Once[string, map[string]int64] // sizes of links by their keys
}

func newRepository(name string) *repository {
	return &repository{name: name, right: map[string]bool{}}
}

// place is a blob or manifest in a repository.
type place struct {
	repository string
	content    digest.Digest
}

// announced returns a repository, if the content was announced for it. Clean-up
// relies on that everything is announced before it is written.
func (t *Tree) announced(name string, d digest.Digest) (*repository, error) {
	name, err := repositoryName(name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.puttable[place{name, d}] {
		return nil, fmt.Errorf("%s was not announced for repository %s", d, name)
	}
	return t.repositories[name], nil
}

func (r *repository) isRight(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.right[key]
}

func (r *repository) setRight(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.right[key] = true
}

// has reports whether a link is there. All links of the repository are listed at
// once, which is cheaper than to look for each, or to write it again.
func (t *Tree) has(ctx context.Context, r *repository, key string, d digest.Digest) (bool, error) {
	if r.isRight(key) {
		return true, nil
	}
	sizes, _, err := r.view.Do(ctx, r.name, func(ctx context.Context) (map[string]int64, error) {
		sizes := map[string]int64{}
		for o, err := range t.bucket.List(ctx, ownFolders(r.name)) {
			if err != nil {
				return nil, err
			}
			sizes[o.Key] = o.Size
		}
		return sizes, nil
	})
	if err != nil || sizes[key] != int64(len(d)) {
		return false, err
	}
	r.setRight(key)
	return true, nil
}

// link writes a link whose key tells its content, if it is not there.
func (t *Tree) link(ctx context.Context, r *repository, key string, d digest.Digest) error {
	there, err := t.has(ctx, r, key, d)
	if there || err != nil {
		return err
	}
	if err := t.putLink(ctx, key, d); err != nil {
		return err
	}
	r.setRight(key)
	return nil
}

func (t *Tree) putLink(ctx context.Context, key string, d digest.Digest) error {
	return t.bucket.Put(ctx, key, strings.NewReader(d.String()))
}

// PutManifest implements images.Target. It refuses a manifest whose blobs are
// not part of the repository.
func (t *Tree) PutManifest(ctx context.Context, repository string, m *images.Manifest) error {
	r, err := t.announced(repository, m.Digest)
	if err != nil {
		return err
	}
	for _, b := range m.Blobs {
		there, err := t.has(ctx, r, layerLink(r.name, b.Digest), b.Digest)
		if err != nil {
			return err
		}
		if !there && !b.Foreign() {
			return fmt.Errorf("repository %s does not have blob %s of manifest %s", r.name, b.Digest, m.Digest)
		}
	}
	if err := t.storeManifest(ctx, m.Digest, m.Content); err != nil {
		return err
	}
	return t.linkRevision(ctx, r, m.Digest)
}

// storeManifest stores a manifest if it is not there as it should be. It is read
// for that, which costs no more than to ask for its size, so that a damaged one is
// replaced.
func (t *Tree) storeManifest(ctx context.Context, d digest.Digest, content []byte) error {
	_, _, err := t.blobs.Do(ctx, d, func(ctx context.Context) (int64, error) {
		key := blobKey(d)
		stored, err := read(ctx, t.bucket, key, int64(len(content)))
		switch {
		case err == nil && bytes.Equal(stored, content):
			return 0, nil
		case err == nil, errors.Is(err, errTooLarge):
			t.log.Warn("a damaged manifest is replaced", "key", key)
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
		return 0, t.bucket.Put(ctx, key, bytes.NewReader(content))
	})
	return err
}

// linkRevision makes a manifest part of a repository and, if it was not so
// before, marks the link as ours. Links without a mark are never removed.
func (t *Tree) linkRevision(ctx context.Context, r *repository, d digest.Digest) error {
	key := revisionLink(r.name, d)
	there, err := t.has(ctx, r, key, d)
	if there || err != nil {
		return err
	}
	// The view may be as old as the upload of a large image, and somebody else's
	// link must not get our mark.
	o, err := t.bucket.Stat(ctx, key)
	switch {
	case err == nil && o.Size == int64(len(d)):
		r.setRight(key)
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	mine := err != nil
	if err := t.putLink(ctx, key, d); err != nil {
		return err
	}
	r.setRight(key)
	if !mine {
		return nil
	}
	if err := t.mark(ctx, r.name, d); err != nil {
		t.log.Warn("an image is stored, but clean-up will never remove it", "digest", d.String(), "repository", r.name, "error", err.Error())
	}
	return nil
}

// mark notes that a revision link is ours, by the time that the link has. A link
// that somebody writes again has another time, as have all links of a bucket that
// was copied.
func (t *Tree) mark(ctx context.Context, repository string, d digest.Digest) error {
	o, err := t.bucket.Stat(ctx, revisionLink(repository, d))
	if err != nil {
		return err
	}
	return t.bucket.Put(ctx, markKey(repository, d), strings.NewReader(markOf(o.Modified)))
}

// markOf is the content of the mark of a link with that time. Some stores keep
// full seconds.
func markOf(modified time.Time) string {
	return modified.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// Tag implements images.Target.
func (t *Tree) Tag(ctx context.Context, repository, tag string, m *images.Manifest) error {
	r, err := t.announced(repository, m.Digest)
	if err != nil {
		return err
	}
	if !tagPattern.MatchString(tag) {
		return fmt.Errorf("%q cannot be a tag of repository %s", tag, r.name)
	}
	there, err := t.has(ctx, r, revisionLink(r.name, m.Digest), m.Digest)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("repository %s does not have manifest %s, which tag %s is to name", r.name, m.Digest, tag)
	}
	if err := t.link(ctx, r, tagHistoryLink(r.name, tag, m.Digest), m.Digest); err != nil {
		return err
	}
	key := tagLink(r.name, tag)
	current, err := read(ctx, t.bucket, key, maxLinkSize)
	if err == nil && string(current) == m.Digest.String() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.putLink(ctx, key, m.Digest)
}

// maxLinkSize is above that of every link, in bytes.
const maxLinkSize = 1 << 10

// repositoryNames returns the names of repositories in the tree, each once.
func repositoryNames(names []string) ([]string, error) {
	found := map[string]bool{}
	for _, name := range names {
		name, err := repositoryName(name)
		if err != nil {
			return nil, err
		}
		found[name] = true
	}
	return slices.Sorted(maps.Keys(found)), nil
}
