package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// ownEntry is this backup's entry of an image, as the Tree has written it.
type ownEntry struct {
	// turn is a lock that can be waited for with a context: it holds one value
	// while nobody has locked the entry.
	turn  chan struct{}
	entry *entry // as it is in the bucket, nil if it was not looked for; set with Tree.mu held
}

// Announce implements images.Target. The image gets its entry in the index, or
// the entry learns of more repositories; then sweeps that may not have seen it
// are waited for.
func (t *Tree) Announce(ctx context.Context, a images.Announcement) error {
	wanted, err := t.entryFor(a)
	if err != nil {
		return fmt.Errorf("announcing image %s: %w", a.Digest, err)
	}
	c, err := t.lock(ctx, a.Digest)
	if err != nil {
		return err
	}
	defer c.unlock()
	if err := t.enter(ctx, c, a.Digest, wanted); err != nil {
		return err
	}
	if err := waitForSweeps(ctx, t.bucket, t.log); err != nil {
		return err
	}
	t.allow(c)
	return nil
}

func (t *Tree) entryFor(a images.Announcement) (*entry, error) {
	if t.backup == (Backup{}) {
		return nil, errors.New("this tree is only read")
	}
	for _, d := range append(slices.Clone(a.Contents), a.Digest) {
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("digest %q: %w", d, err)
		}
	}
	names, err := repositoryNames(a.Repositories)
	if err != nil {
		return nil, err
	}
	return &entry{
		Backup:       t.backup,
		Repositories: names,
		Contents:     union([]digest.Digest{a.Digest}, a.Contents),
	}, nil
}

// lock returns the entry of an image, which nobody else changes until unlock is
// called.
func (t *Tree) lock(ctx context.Context, image digest.Digest) (*ownEntry, error) {
	t.mu.Lock()
	c := t.entries[image]
	if c == nil {
		c = &ownEntry{turn: make(chan struct{}, 1)}
		c.turn <- struct{}{}
		t.entries[image] = c
	}
	t.mu.Unlock()
	select {
	case <-c.turn:
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *ownEntry) unlock() { c.turn <- struct{}{} }

// enter writes the entry of an image if it does not say yet what is wanted. An
// entry that an earlier process of the same backup has written is extended.
func (t *Tree) enter(ctx context.Context, c *ownEntry, image digest.Digest, wanted *entry) error {
	if c.entry != nil && c.entry.covers(wanted) {
		return nil
	}
	key := entryKey(image, t.backup.Owner())
	if c.entry == nil {
		earlier, err := readEntry(ctx, t.bucket, key, image)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			wanted = wanted.with(earlier)
		}
	} else {
		wanted = wanted.with(c.entry)
	}
	if err := t.bucket.Put(ctx, key, bytes.NewReader(wanted.encode())); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.entry = wanted
	return nil
}

func readEntry(ctx context.Context, bucket objectstore.Bucket, key string, image digest.Digest) (*entry, error) {
	content, err := read(ctx, bucket, key, maxEntrySize)
	if err != nil {
		return nil, err
	}
	e, err := decodeEntry(content, image)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", key, err)
	}
	return e, nil
}

// allow lets PutBlob and PutManifest write the contents of an image that was
// announced.
func (t *Tree) allow(c *ownEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range c.entry.Repositories {
		r := t.repositories[name]
		if r == nil {
			r = newRepository(name)
			t.repositories[name] = r
		}
		for _, d := range c.entry.Contents {
			t.puttable[place{name, d}] = true
		}
	}
}
