package registrytree

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Check returns what is wrong with the tree: a blob whose content has another digest
// than its key, or a link to an image of which a part is missing. The images of an
// index may be missing if the source did not have them either.
func (t *Tree) Check(missing ...digest.Digest) []string {
	c := checker{tree: t, missing: missing, problems: slices.Clone(t.Problems)}
	for _, d := range slices.Sorted(maps.Keys(t.Blobs)) {
		if found := t.Blobs[d].Content; found != d {
			c.problem("blob %s has the content of %s", d, found)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Repositories)) {
		c.repository(name, t.Repositories[name])
	}
	return c.problems
}

type checker struct {
	tree     *Tree
	missing  []digest.Digest
	problems []string
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) repository(name string, r *Repository) {
	for _, d := range slices.Sorted(maps.Keys(r.Layers)) {
		if _, ok := c.tree.Blobs[d]; !ok {
			c.problem("repository %s links layer %s, which is not there", name, d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(r.Revisions)) {
		c.revision(name, r, d)
	}
	for _, tag := range slices.Sorted(maps.Keys(r.Tags)) {
		c.tag(name+":"+tag, r, r.Tags[tag])
	}
}

func (c *checker) tag(name string, r *Repository, tag *Tag) {
	if tag.Current == "" {
		return // the first push of the tag has not ended
	}
	if !r.Revisions[tag.Current] {
		c.problem("tag %s names %s, which is no revision of its repository", name, tag.Current)
	}
	if !tag.Index[tag.Current] {
		c.problem("tag %s names %s, which is not in the tag's index", name, tag.Current)
	}
	for _, d := range slices.Sorted(maps.Keys(tag.Index)) {
		if !r.Revisions[d] {
			c.problem("tag %s has named %s, which is no revision of its repository", name, d)
		}
	}
}

// manifest is what names further content.
type manifest struct {
	Config    *descriptor
	Layers    []descriptor
	Manifests []descriptor
}

type descriptor struct {
	Digest digest.Digest
	Size   int64
	URLs   []string
}

func (c *checker) revision(name string, r *Repository, d digest.Digest) {
	blob, ok := c.tree.Blobs[d]
	if !ok {
		c.problem("repository %s links manifest %s, which is not there", name, d)
		return
	}
	var m manifest
	if err := json.Unmarshal(blob.Manifest, &m); err != nil {
		c.problem("repository %s links manifest %s, which is none: %v", name, d, err)
		return
	}
	for _, child := range m.Manifests {
		if !r.Revisions[child.Digest] && !slices.Contains(c.missing, child.Digest) {
			c.problem("index %s of repository %s has %s, which is no revision of the repository", d, name, child.Digest)
		}
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, layer := range m.Layers {
		c.layer(fmt.Sprintf("%s@%s", name, d), r, layer)
	}
}

func (c *checker) layer(image string, r *Repository, layer descriptor) {
	blob, ok := c.tree.Blobs[layer.Digest]
	switch {
	case !ok && len(layer.URLs) > 0:
	case !ok:
		c.problem("image %s has %s, which is not there", image, layer.Digest)
	case blob.Size != layer.Size:
		c.problem("image %s has %s of %d bytes, of which there are %d", image, layer.Digest, layer.Size, blob.Size)
	case !r.Layers[layer.Digest]:
		c.problem("image %s has %s, to which its repository has no link", image, layer.Digest)
	}
}

// Keys are those of the tree's objects below OwnRoot that begin with a prefix.
func (t *Tree) Keys(prefix string) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(t.Own)) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}
