package layout

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// Times that a Cleaner uses if it is not told others.
const (
	// DefaultGrace is how long an image stays that no backup needs any more.
	DefaultGrace = 24 * time.Hour
	// DefaultAbandoned is the age from which an entry is dropped whose backup
	// has never come to be. It is longer than any backup takes.
	DefaultAbandoned = 7 * 24 * time.Hour
)

// parallelRequests is how many requests go to the bucket at a time.
const parallelRequests = 16

// Cleaner removes images from a bucket that no backup needs. It is safe for
// concurrent use, also with other cleaners and backups in other processes.
type Cleaner struct {
	bucket    objectstore.Bucket
	grace     time.Duration
	abandoned time.Duration
	parallel  int // requests at a time
	log       *slog.Logger

	mu      sync.Mutex
	reader  *indexReader
	tidied  bool
	blocked map[digest.Digest]time.Time // images that stayed, by the time since when they are pending
}

// NewCleaner returns a cleaner of a bucket. A grace of 0 lets images go at once.
func NewCleaner(bucket objectstore.Bucket, grace time.Duration, log *slog.Logger) *Cleaner {
	return &Cleaner{
		bucket:    bucket,
		grace:     grace,
		abandoned: max(DefaultAbandoned, grace),
		parallel:  parallelRequests,
		log:       log,
		reader:    &indexReader{bucket: bucket, parallel: parallelRequests},
		blocked:   map[digest.Digest]time.Time{},
	}
}

// Release says that a backup, named by its owner as in [Backup.Owner], no longer
// needs images. Those that it never needed do no harm.
func (c *Cleaner) Release(ctx context.Context, owner string, released []digest.Digest) error {
	failures := make([]error, len(released))
	var group errgroup.Group
	group.SetLimit(c.parallel)
	for i, d := range released {
		group.Go(func() error {
			if err := c.release(ctx, owner, d); err != nil {
				failures[i] = fmt.Errorf("image %s: %w", d, err)
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func (c *Cleaner) release(ctx context.Context, owner string, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if owner == "" || strings.Contains(owner, "/") {
		return fmt.Errorf("%q cannot be an owner", owner)
	}
	return drop(ctx, c.bucket, d, owner)
}

// Removed is what a sweep has removed.
type Removed struct {
	Images int
	Blobs  int // manifests included
	Bytes  int64
}

// Sweep removes the images that no backup has needed for the time of grace. It
// is cheap if there are none, so it can be called after each Release. What it
// does not finish in its time is left for the next one.
func (c *Cleaner) Sweep(ctx context.Context) (Removed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tidied {
		if err := c.tidy(ctx); err != nil {
			return Removed{}, err
		}
		c.tidied = true
	}
	work, err := c.hasWork(ctx)
	if err != nil || !work {
		return Removed{}, err
	}
	s, err := c.begin(ctx)
	if err != nil {
		return Removed{}, err
	}
	defer s.end(ctx)
	ix, err := c.reader.read(ctx)
	if err != nil {
		return Removed{}, err
	}
	due := ix.due(s.now, s.grace)
	err = s.clean(ctx, ix, due)
	for _, d := range due {
		if reasons := s.stays[d]; len(reasons) > 0 {
			c.blocked[d] = ix.pending[d].at
			c.log.Info("an image that no backup needs stays for now", "digest", d.String(), "reason", strings.Join(reasons, "; "))
		}
	}
	return s.removed, err
}

// hasWork reports whether there are images that may go now and were not found to
// have to stay. It goes by this machine's clock as well, which decides nothing else.
func (c *Cleaner) hasWork(ctx context.Context) (bool, error) {
	var all []objectstore.Object
	now := time.Now()
	for o, err := range c.bucket.List(ctx, pendingRoot) {
		if err != nil {
			return false, err
		}
		all = append(all, o)
		now = later(now, o.Modified)
	}
	return slices.ContainsFunc(all, func(o objectstore.Object) bool {
		d := digest.Digest(strings.TrimPrefix(o.Key, pendingRoot))
		return now.Sub(o.Modified) >= c.grace && !c.blocked[d].Equal(o.Modified)
	}), nil
}

// begin announces a sweep.
func (c *Cleaner) begin(ctx context.Context) (*sweep, error) {
	ends := time.Now().Add(maxSweepTime)
	s := c.newSweep()
	s.key, s.ends = sweepsRoot+rand.Text(), ends
	if err := c.bucket.Put(ctx, s.key, strings.NewReader("sweep")); err != nil {
		s.end(ctx)
		return nil, err
	}
	for o, err := range c.bucket.List(ctx, s.key) { // with times as exact as those of other lists
		if err != nil {
			s.end(ctx)
			return nil, err
		}
		s.now = o.Modified
	}
	return s, nil
}

func (c *Cleaner) newSweep() *sweep {
	return &sweep{
		bucket:    c.bucket,
		grace:     c.grace,
		parallel:  c.parallel,
		log:       c.log,
		manifests: newManifests(c.bucket),
		tags:      map[version]digest.Digest{},
		records:   newRecords(c.bucket),
		gone:      map[string]bool{},
		stays:     map[digest.Digest][]string{},
		freed:     map[digest.Digest]int64{},
	}
}

// tidy makes images pending that were not released in order. It removes none.
func (c *Cleaner) tidy(ctx context.Context) error {
	ix, err := c.reader.read(ctx)
	if err != nil {
		return err
	}
	if err := c.dropAbandoned(ctx, ix); err != nil {
		return err
	}
	return c.adopt(ctx, ix)
}

// dropAbandoned drops the entries of backups that are long over and have left
// nothing. It is not later than the newest object of the index.
func (c *Cleaner) dropAbandoned(ctx context.Context, ix *index) error {
	records := newRecords(c.bucket)
	for _, image := range slices.Sorted(maps.Keys(ix.entries)) {
		for _, e := range ix.entries[image] {
			if ix.newest.Sub(e.at) < c.abandoned {
				continue
			}
			lost, err := records.lost(ctx, e.Backup)
			if err != nil {
				return err
			}
			if !lost {
				continue
			}
			c.log.Warn("the bucket does not have the backup for which an image was kept", "digest", image.String(), "for", e.Backup.String())
			if err := drop(ctx, c.bucket, image, e.owner); err != nil {
				return err
			}
		}
	}
	return nil
}

// adopt makes manifests pending whose release was interrupted.
func (c *Cleaner) adopt(ctx context.Context, ix *index) error {
	read := newManifests(c.bucket)
	for _, d := range ix.orphans() {
		if _, err := read.load(ctx, d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.log.Warn("an image that no backup needs stays, as its manifest cannot be read", "digest", d.String(), "error", err.Error())
			continue
		}
		_, err := c.bucket.Stat(ctx, pendingKey(d))
		if err == nil {
			continue // it was released meanwhile
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		e := &entry{Repositories: slices.Sorted(maps.Keys(ix.marks[d])), Contents: read.contents(d)}
		if err := c.bucket.Put(ctx, pendingKey(d), bytes.NewReader(e.encode())); err != nil {
			return err
		}
	}
	return nil
}
