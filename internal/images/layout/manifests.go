package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// manifests are those that were read, by what they name. Only load is safe for
// concurrent use.
type manifests struct {
	bucket objectstore.Bucket

	mu    sync.Mutex
	read  map[digest.Digest]*named
	names int // of all that were read
}

// named is what a manifest names.
type named struct {
	manifests, blobs []digest.Digest
}

// Limits of what is read to find out what the images of others need.
const (
	maxDepth = 16      // of indexes that name indexes
	maxNames = 500_000 // of manifests and blobs, in sum
)

func newManifests(bucket objectstore.Bucket) *manifests {
	return &manifests{bucket: bucket, read: map[digest.Digest]*named{}}
}

// load reads a manifest and those that it names, as far as they are there, and
// reports whether there were any to read. The error for a manifest that is not
// there is fs.ErrNotExist.
func (m *manifests) load(ctx context.Context, d digest.Digest) (bool, error) {
	return m.loadAt(ctx, d, maxDepth)
}

func (m *manifests) loadAt(ctx context.Context, d digest.Digest, depth int) (bool, error) {
	m.mu.Lock()
	known := m.read[d] != nil
	m.mu.Unlock()
	if known {
		return false, nil
	}
	if depth == 0 {
		return false, fmt.Errorf("manifest %s is named by %d indexes one in the other", d, maxDepth)
	}
	parsed, err := readManifest(ctx, m.bucket, d)
	if err != nil {
		return false, err
	}
	n := &named{manifests: digests(parsed.Manifests), blobs: digests(parsed.Blobs)}
	m.mu.Lock()
	m.read[d] = n
	m.names += len(n.manifests) + len(n.blobs)
	tooMany := m.names > maxNames
	m.mu.Unlock()
	if tooMany {
		return false, fmt.Errorf("the images of others name more than %d manifests and blobs", maxNames)
	}
	for _, child := range n.manifests {
		if _, err := m.loadAt(ctx, child, depth-1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.mu.Lock()
			delete(m.read, d)
			m.mu.Unlock()
			return false, err
		}
	}
	return true, nil
}

// add adds a manifest and all that it consists of to a set.
func (m *manifests) add(to map[digest.Digest]bool, d digest.Digest) {
	if to[d] {
		return
	}
	to[d] = true
	n := m.read[d]
	if n == nil {
		return
	}
	for _, b := range n.blobs {
		to[b] = true
	}
	for _, child := range n.manifests {
		m.add(to, child)
	}
}

// contents returns what a manifest consists of: itself, other manifests, blobs.
func (m *manifests) contents(d digest.Digest) []digest.Digest {
	var manifests, blobs []digest.Digest
	var walk func(d digest.Digest)
	walk = func(d digest.Digest) {
		if slices.Contains(manifests, d) {
			return
		}
		manifests = append(manifests, d)
		if n := m.read[d]; n != nil {
			blobs = union(blobs, n.blobs)
			for _, child := range n.manifests {
				walk(child)
			}
		}
	}
	walk(d)
	return append(manifests, blobs...)
}

// parentsFirst orders manifests so that none comes behind one that it names.
func (m *manifests) parentsFirst(set map[digest.Digest]bool) []digest.Digest {
	var ordered []digest.Digest // children first
	var visit func(d digest.Digest)
	visit = func(d digest.Digest) {
		if !set[d] || slices.Contains(ordered, d) {
			return
		}
		if n := m.read[d]; n != nil {
			for _, child := range n.manifests {
				visit(child)
			}
		}
		ordered = append(ordered, d)
	}
	for _, d := range sorted(set) {
		visit(d)
	}
	slices.Reverse(ordered)
	return ordered
}

func digests(descriptors []images.Descriptor) []digest.Digest {
	all := make([]digest.Digest, 0, len(descriptors))
	for _, d := range descriptors {
		all = append(all, d.Digest)
	}
	return all
}
