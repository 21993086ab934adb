package layout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	asked   bool // whether a sweep is due
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

// Release says that a backup which is deleted no longer needs images. owner is
// what [Backup.Owner] was for the backup when it was made; of the backup itself
// the name and the prefix count, as an entry of another backup is left alone.
// Images that the backup never needed do no harm. It takes three or four requests
// for each image, however large the bucket is.
func (c *Cleaner) Release(ctx context.Context, deleted Backup, owner string, released []digest.Digest) error {
	failures := make([]error, len(released))
	var group errgroup.Group
	group.SetLimit(c.parallel)
	for i, d := range released {
		group.Go(func() error {
			if err := c.release(ctx, deleted, owner, d); err != nil {
				failures[i] = fmt.Errorf("image %s: %w", d, err)
			}
			return nil
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// Removed is what a sweep has removed.
type Removed struct {
	Images int
	Blobs  int // manifests included
	Bytes  int64
}

// maxSweepInterval is the longest time between two sweeps that deletions make, as
// long as there are deletions.
const maxSweepInterval = 24 * time.Hour

// SweepIfDue makes a sweep, as Sweep does, unless somebody has made one a short
// time ago, or this cleaner has asked for one before: a sweep costs requests for
// all that is in the bucket, and so not every deletion makes one. The time of the
// last sweep is that of the object
//
//	docker/registry/oadp/audits/v1/last
//
// A cleaner whose time of grace is below a minute always sweeps.
func (c *Cleaner) SweepIfDue(ctx context.Context) (Removed, error) {
	due, err := c.isDue(ctx)
	if err != nil || !due {
		return Removed{}, err
	}
	return c.Sweep(ctx)
}

func (c *Cleaner) isDue(ctx context.Context) (bool, error) {
	interval := min(c.grace, maxSweepInterval)
	if interval < time.Minute {
		return true, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked {
		return false, nil
	}
	last, err := c.bucket.Stat(ctx, lastSweepKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	c.asked = true
	// A time in the future is that of a wrong clock, which must not put sweeps off.
	if age := time.Since(last.Modified); err == nil && age >= 0 && age < interval {
		return false, nil
	}
	return true, c.bucket.Put(ctx, lastSweepKey, strings.NewReader(""))
}

// Sweep removes the images that no backup has needed for the time of grace. What
// it does not finish in its time is left for the next one.
func (c *Cleaner) Sweep(ctx context.Context) (Removed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tidied {
		work, err := c.hasWork(ctx)
		if err != nil || !work {
			return Removed{}, err
		}
	} else if c.reader.known == nil {
		// Backups wait while a sweep goes on. So most of the index is read before.
		if _, err := c.reader.read(ctx, time.Now()); err != nil {
			return Removed{}, err
		}
	}
	s, err := c.begin(ctx)
	if err != nil {
		return Removed{}, err
	}
	defer s.end(ctx)
	ix, err := c.reader.read(ctx, s.now)
	if err != nil {
		return Removed{}, err
	}
	if !c.tidied {
		if err := s.tidy(ctx, ix, c.abandoned); err != nil {
			return Removed{}, err
		}
		c.tidied = true
	}
	due := ix.due(s.now, s.grace)
	err = s.clean(ctx, ix, due)
	for _, d := range due {
		if reasons := s.stays[d]; len(reasons) > 0 {
			c.blocked[d] = ix.pending[d].at
			c.log.Info("an image that no backup needs stays for now", "digest", d.String(), "reason", strings.Join(reasons, "; "))
		}
	}
	if err == nil && ix.lastSweep && len(ix.entries) == 0 && s.removed.Images == len(ix.pending) {
		err = ignoreOver(s.delete(ctx, []string{lastSweepKey})) // nothing of ours is left
	}
	return s.removed, err
}

// hasWork reports whether there are images that may go now and were not found to
// have to stay. It goes by this machine's clock, which decides nothing else.
func (c *Cleaner) hasWork(ctx context.Context) (bool, error) {
	for o, err := range c.bucket.List(ctx, pendingRoot) {
		if err != nil {
			return false, err
		}
		d := digest.Digest(strings.TrimPrefix(o.Key, pendingRoot))
		age := time.Since(o.Modified)
		if (age < 0 || age >= c.grace) && !c.blocked[d].Equal(o.Modified) {
			return true, nil
		}
	}
	return false, nil
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
		marked:    map[string]string{},
		records:   newRecords(c.bucket),
		gone:      map[string]bool{},
		stays:     map[digest.Digest][]string{},
		freed:     map[digest.Digest]int64{},
	}
}
