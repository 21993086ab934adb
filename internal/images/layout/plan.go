package layout

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Planned says what the next sweep would do with an image.
type Planned struct {
	Digest       digest.Digest
	Repositories []string
	Backups      []Backup // that need it
	Size         int64    // of its blobs and manifests, in bytes
	Frees        int64    // of that, if it goes
	Goes         bool
	Why          string // it stays
}

// Plan says what a sweep would do with each image of the index. It changes
// nothing. Images without an entry in the index, which others wrote, are left
// alone and not listed.
func (c *Cleaner) Plan(ctx context.Context) ([]Planned, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	ix, err := c.reader.read(ctx, now)
	if err != nil {
		return nil, err
	}
	s := c.newSweep()
	s.now = now
	due := ix.due(s.now, s.grace)
	if err := s.clean(ctx, ix, due); err != nil {
		return nil, err
	}
	sizes, err := c.blobSizes(ctx)
	if err != nil {
		return nil, err
	}
	planned := s.planned(due)
	for i := range planned {
		for _, d := range s.contentsOf(planned[i].Digest) {
			planned[i].Size += sizes[d]
		}
	}
	return planned, nil
}

func (c *Cleaner) blobSizes(ctx context.Context) (map[digest.Digest]int64, error) {
	sizes := map[digest.Digest]int64{}
	for o, err := range c.bucket.List(ctx, blobsRoot) {
		if err != nil {
			return nil, err
		}
		if d, ok := blobOf(o.Key); ok {
			sizes[d] = o.Size
		}
	}
	return sizes, nil
}

// contentsOf returns what an image of the index consists of.
func (s *sweep) contentsOf(image digest.Digest) []digest.Digest {
	var all []digest.Digest
	for _, e := range s.index.entries[image] {
		all = union(all, e.Contents)
	}
	if e, ok := s.index.pending[image]; ok {
		all = union(all, e.Contents)
	}
	return all
}

// planned returns the images of the index, those that go first.
func (s *sweep) planned(due []digest.Digest) []Planned {
	var planned []Planned
	for image, entries := range s.index.entries {
		p := Planned{Digest: image, Why: "backups need it"}
		for _, e := range entries {
			p.Backups = append(p.Backups, e.Backup)
			p.Repositories = union(p.Repositories, e.Repositories)
		}
		planned = append(planned, p)
	}
	for image, e := range s.index.pending {
		if len(s.index.entries[image]) > 0 {
			continue
		}
		p := Planned{Digest: image, Repositories: e.Repositories}
		if !slices.Contains(due, image) {
			p.Why = "no backup needs it since " + e.at.Format(time.DateTime) + "; it may go from " + e.at.Add(s.grace).Format(time.DateTime)
		} else if p.Why = strings.Join(s.stays[image], "; "); p.Why == "" {
			p.Goes, p.Frees = true, s.freed[image]
		}
		planned = append(planned, p)
	}
	for _, d := range s.index.orphans() {
		planned = append(planned, Planned{
			Digest:       d,
			Repositories: slices.Sorted(maps.Keys(s.index.marks[d])),
			Why:          "its release was interrupted; the next clean-up notes it, a later one removes it",
		})
	}
	slices.SortFunc(planned, func(a, b Planned) int {
		switch {
		case a.Goes && !b.Goes:
			return -1
		case b.Goes && !a.Goes:
			return 1
		}
		return cmp.Compare(a.Digest, b.Digest)
	})
	return planned
}
