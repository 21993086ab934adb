package layout

import (
	"cmp"
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
	"golang.org/x/sync/errgroup"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// index is what the bucket's index says.
type index struct {
	entries map[digest.Digest][]dated
	marks   map[digest.Digest]map[string]time.Time // by manifest and repository
	pending map[digest.Digest]dated
	damaged map[digest.Digest]bool // blobs with a note

	lastSweep bool // there is the object that tells when the last sweep began
}

// dated is an entry with the time at which it was written.
type dated struct {
	*entry
	owner string // as in its key
	at    time.Time
}

// indexReader reads the index again and again. Entries that it knows it does not
// read a second time.
type indexReader struct {
	bucket   objectstore.Bucket
	parallel int
	known    map[version]*entry
}

// A version tells the content of an object from what was there at other times.
type version struct {
	key      string
	size     int64
	modified int64
}

func versionOf(o objectstore.Object) version { return version{o.Key, o.Size, o.Modified.UnixNano()} }

// recent is the age below which an object may have changed without having a
// later time, as the times of some stores are of full seconds.
const recent = time.Minute

// read returns the index. An entry that cannot be read is an error, since
// nobody knows what it needs. now is the server's time, or at least this
// machine's: what was written a short time ago is read again.
func (r *indexReader) read(ctx context.Context, now time.Time) (*index, error) {
	b := &indexBuilder{
		index: &index{
			entries: map[digest.Digest][]dated{},
			marks:   map[digest.Digest]map[string]time.Time{},
			pending: map[digest.Digest]dated{},
			damaged: map[digest.Digest]bool{},
		},
		known:   map[version]*entry{},
		strings: map[string]string{},
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.parallel)
	for o, err := range r.bucket.List(groupCtx, indexRoot) {
		if err == nil {
			err = r.add(groupCtx, group, b, o, now)
		}
		if err != nil {
			return nil, cmp.Or(group.Wait(), err)
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	r.known = b.known
	return b.index, nil
}

// indexBuilder collects the index from several goroutines.
type indexBuilder struct {
	mu    sync.Mutex
	index *index
	known map[version]*entry
	// strings holds each text once that many entries have. A bucket can have a
	// hundred thousand entries of some hundred backups.
	strings map[string]string
}

func (r *indexReader) add(ctx context.Context, group *errgroup.Group, b *indexBuilder, o objectstore.Object, now time.Time) error {
	switch {
	case strings.HasPrefix(o.Key, entriesRoot):
		return r.addEntry(ctx, group, b, o, entriesRoot, now)
	case strings.HasPrefix(o.Key, pendingRoot):
		return r.addEntry(ctx, group, b, o, pendingRoot, now)
	case strings.HasPrefix(o.Key, marksRoot):
		d, repository, err := parseKey(o.Key, marksRoot)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.index.marks[d] == nil {
			b.index.marks[d] = map[string]time.Time{}
		}
		b.index.marks[d][b.once(repository)] = o.Modified
	case strings.HasPrefix(o.Key, damagedRoot):
		d, _, err := parseKey(o.Key, damagedRoot)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.index.damaged[d] = true
	case o.Key == lastSweepKey:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.index.lastSweep = true
	case strings.HasPrefix(o.Key, sweepsRoot), strings.HasPrefix(o.Key, convertedRoot):
	default:
		return fmt.Errorf("%s is of a newer version of this plugin, which alone can clean up images in this bucket", o.Key)
	}
	return nil
}

func (r *indexReader) addEntry(ctx context.Context, group *errgroup.Group, b *indexBuilder, o objectstore.Object, root string, now time.Time) error {
	image, owner, err := parseKey(o.Key, root)
	if err != nil {
		return err
	}
	group.Go(func() error {
		e := r.known[versionOf(o)]
		if e == nil || now.Sub(o.Modified) < recent {
			var err error
			if e, err = readEntry(ctx, r.bucket, o.Key, image); errors.Is(err, fs.ErrNotExist) {
				return nil // it was dropped meanwhile
			} else if err != nil {
				return err
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.known[versionOf(o)] = e
		d := dated{e, b.once(owner), o.Modified}
		if root == pendingRoot {
			b.index.pending[image] = d
			return nil
		}
		b.share(e, b.index.entries[image])
		b.index.entries[image] = append(b.index.entries[image], d)
		return nil
	})
	return nil
}

// once returns a text that is in memory once. The mutex is held.
func (b *indexBuilder) once(s string) string {
	if known, ok := b.strings[s]; ok {
		return known
	}
	s = strings.Clone(s) // and not the key that it is a part of
	b.strings[s] = s
	return s
}

// share saves the memory of what other entries have as well. The mutex is held.
func (b *indexBuilder) share(e *entry, others []dated) {
	for _, text := range []*string{&e.Cluster, &e.Namespace, &e.Location, &e.Prefix, &e.Name, &e.UID} {
		*text = b.once(*text)
	}
	for _, other := range others {
		if slices.Equal(e.Contents, other.Contents) {
			e.Contents = other.Contents
			break
		}
	}
	for _, other := range others {
		if slices.Equal(e.Repositories, other.Repositories) {
			e.Repositories = other.Repositories
			break
		}
	}
}

// parseKey splits what follows the root in a key of the index into a digest and
// the rest.
func parseKey(key, root string) (digest.Digest, string, error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(key, root), "/")
	d := digest.Digest(first)
	if err := d.Validate(); err != nil {
		return "", "", fmt.Errorf("%s: %w", key, err)
	}
	return d, rest, nil
}

// use is what entries need, and for which backups.
type use struct {
	contents map[digest.Digest]bool
	backups  map[Backup]bool
}

func newUse() *use { return &use{map[digest.Digest]bool{}, map[Backup]bool{}} }

func (u *use) add(e *entry) {
	u.backups[e.Backup] = true
	for _, d := range e.Contents {
		u.contents[d] = true
	}
}

func (u *use) sortedBackups() []Backup {
	return slices.SortedFunc(maps.Keys(u.backups), func(a, b Backup) int { return strings.Compare(a.recordKey(), b.recordKey()) })
}

// uses returns how the bucket as a whole is used, and each repository.
func (ix *index) uses() (*use, map[string]*use) {
	all, repositories := newUse(), map[string]*use{}
	for _, entries := range ix.entries {
		for _, e := range entries {
			all.add(e.entry)
			for _, name := range e.Repositories {
				if repositories[name] == nil {
					repositories[name] = newUse()
				}
				repositories[name].add(e.entry)
			}
		}
	}
	return all, repositories
}

// due returns the images that nobody has needed for the time of grace.
func (ix *index) due(now time.Time, grace time.Duration) []digest.Digest {
	var due []digest.Digest
	for _, d := range slices.Sorted(maps.Keys(ix.pending)) {
		if len(ix.entries[d]) == 0 && !ix.pending[d].at.Add(grace).After(now) {
			due = append(due, d)
		}
	}
	return due
}

// orphans returns the manifests with a mark that belong to no image which is
// needed or pending. Interrupted releases leave them.
func (ix *index) orphans() []digest.Digest {
	all, _ := ix.uses()
	known := all.contents
	for image, e := range ix.pending {
		known[image] = true
		for _, d := range e.Contents {
			known[d] = true
		}
	}
	var orphans []digest.Digest
	for _, d := range slices.Sorted(maps.Keys(ix.marks)) {
		if !known[d] {
			orphans = append(orphans, d)
		}
	}
	return orphans
}

// repositories returns those that the contents of a pending image may be in.
func (ix *index) repositories(image digest.Digest) []string {
	e := ix.pending[image]
	found := map[string]bool{}
	for _, name := range e.Repositories {
		found[name] = true
	}
	for _, d := range e.Contents {
		for name := range ix.marks[d] {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
