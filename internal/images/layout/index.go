package layout

import (
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
	newest  time.Time // of its objects, by the server's clock
	entries map[digest.Digest][]dated
	marks   map[digest.Digest]map[string]time.Time // by manifest and repository
	pending map[digest.Digest]dated
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
// nobody knows what it needs.
func (r *indexReader) read(ctx context.Context) (*index, error) {
	ix := &index{
		entries: map[digest.Digest][]dated{},
		marks:   map[digest.Digest]map[string]time.Time{},
		pending: map[digest.Digest]dated{},
	}
	var objects []objectstore.Object
	for o, err := range r.bucket.List(ctx, indexRoot) {
		if err != nil {
			return nil, err
		}
		if o.Modified.After(ix.newest) {
			ix.newest = o.Modified
		}
		switch {
		case strings.HasPrefix(o.Key, entriesRoot), strings.HasPrefix(o.Key, pendingRoot):
			objects = append(objects, o)
		case strings.HasPrefix(o.Key, marksRoot):
			d, repository, err := parseKey(o.Key, marksRoot)
			if err != nil {
				return nil, err
			}
			if ix.marks[d] == nil {
				ix.marks[d] = map[string]time.Time{}
			}
			ix.marks[d][repository] = o.Modified
		case strings.HasPrefix(o.Key, sweepsRoot), strings.HasPrefix(o.Key, convertedRoot):
		default:
			return nil, fmt.Errorf("%s is of a newer version of this plugin, which alone can clean up images in this bucket", o.Key)
		}
	}
	return ix, r.readEntries(ctx, ix, objects)
}

func (r *indexReader) readEntries(ctx context.Context, ix *index, objects []objectstore.Object) error {
	var mu sync.Mutex
	known := make(map[version]*entry, len(objects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.parallel)
	for _, o := range objects {
		root := entriesRoot
		if strings.HasPrefix(o.Key, pendingRoot) {
			root = pendingRoot
		}
		image, owner, err := parseKey(o.Key, root)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			e := r.known[versionOf(o)]
			if e == nil || ix.newest.Sub(o.Modified) < recent {
				var err error
				if e, err = readEntry(ctx, r.bucket, o.Key, image); errors.Is(err, fs.ErrNotExist) {
					return nil // it was dropped meanwhile
				} else if err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			known[versionOf(o)] = e
			if root == pendingRoot {
				ix.pending[image] = dated{e, owner, o.Modified}
				return nil
			}
			e.shareContents(ix.entries[image])
			ix.entries[image] = append(ix.entries[image], dated{e, owner, o.Modified})
			return nil
		})
	}
	err := group.Wait()
	r.known = known
	return err
}

// shareContents saves the memory of contents that another entry has as well.
func (e *entry) shareContents(others []dated) {
	for _, other := range others {
		if slices.Equal(e.Contents, other.Contents) {
			e.Contents = other.Contents
			return
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
