package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// repository is what is known of the links of a repository.
type repository struct {
	name string

	mu    sync.Mutex
	right map[string]bool // keys of links that this backup needs and that are right
	view  *shared[string, map[string]int64]
}

// A place is content as part of a repository.
type place struct {
	repository string
	content    digest.Digest
}

// announced returns a repository to which content may be added now. That nobody
// writes what is not announced is what clean-up relies on.
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

// outdate makes the next look at the repository's links a new one. What was
// seen so far may have belonged to an image that no backup needed.
func (r *repository) outdate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view = newShared[string, map[string]int64]()
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
	r.mu.Lock()
	view := r.view
	r.mu.Unlock()
	sizes, _, err := view.do(ctx, r.name, func(ctx context.Context) (map[string]int64, error) {
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
	self := images.Descriptor{Digest: m.Digest, Size: int64(len(m.Content))}
	_, err = t.putContent(ctx, self, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(m.Content)), nil
	})
	if err != nil {
		return err
	}
	return t.linkRevision(ctx, r, m.Digest)
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
	if err := t.bucket.Put(ctx, markKey(r.name, d), strings.NewReader(d.String())); err != nil {
		t.log.Warn("an image is stored, but clean-up will never remove it", "digest", d.String(), "repository", r.name, "error", err.Error())
	}
	return nil
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
