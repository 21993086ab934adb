// Package registrytree reads what a bucket holds of container images, in the
// form in which registries and the plugins keep them there, and says what is
// wrong with it. It shares no code with what writes the tree.
package registrytree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/opencontainers/go-digest"
)

// Root is where the tree begins, and OwnRoot what only the plugins write.
const (
	Root    = "docker/registry/v2/"
	OwnRoot = "docker/registry/oadp/"
)

// Tree is what a bucket holds at one time.
type Tree struct {
	Blobs        map[digest.Digest]Blob
	Repositories map[string]*Repository
	// Own are the keys below OwnRoot with their content.
	Own map[string]string
	// Problems were found while the tree was read.
	Problems []string
}

// Blob is a layer, a configuration or a manifest.
type Blob struct {
	Size    int64         // bytes
	Content digest.Digest // of what is there
	// Manifest is the content, if it is a JSON object.
	Manifest []byte
}

// Repository has the links of a repository.
type Repository struct {
	Layers, Revisions map[digest.Digest]bool
	Tags              map[string]*Tag
}

// Tag names a current image and all that it has ever named.
type Tag struct {
	Current digest.Digest
	Index   map[digest.Digest]bool
}

// Read reads the tree with the content of all blobs. Nothing may be removed
// meanwhile.
func Read(ctx context.Context, client *minio.Client, bucket string) (*Tree, error) {
	t := &Tree{Blobs: map[digest.Digest]Blob{}, Repositories: map[string]*Repository{}, Own: map[string]string{}}
	for object := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: "docker/", Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		body, err := client.GetObject(ctx, bucket, object.Key, minio.GetObjectOptions{})
		if err != nil {
			return nil, err
		}
		if err := errors.Join(t.add(object.Key, body), body.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", object.Key, err)
		}
	}
	return t, nil
}

// add takes an object into the tree.
func (t *Tree) add(key string, body io.Reader) error {
	if own, ok := strings.CutPrefix(key, OwnRoot); ok {
		content, err := io.ReadAll(body)
		t.Own[own] = string(content)
		return err
	}
	path, _ := strings.CutPrefix(key, Root)
	if rest, ok := strings.CutPrefix(path, "blobs/"); ok {
		return t.addBlob(key, strings.Split(rest, "/"), body)
	}
	if rest, ok := strings.CutPrefix(path, "repositories/"); ok {
		return t.addLink(key, strings.Split(rest, "/"), body)
	}
	t.problem("%s is no part of the tree", key)
	return nil
}

func (t *Tree) problem(format string, args ...any) {
	t.Problems = append(t.Problems, fmt.Sprintf(format, args...))
}

// addBlob reads blobs/sha256/<2 hex>/<hex>/data.
func (t *Tree) addBlob(key string, path []string, body io.Reader) error {
	var d digest.Digest
	if len(path) == 4 && path[3] == "data" && strings.HasPrefix(path[2], path[1]) {
		d = digest.Digest(path[0] + ":" + path[2])
	}
	if d.Validate() != nil {
		t.problem("%s is not the key of a blob", key)
		return nil
	}
	b := Blob{}
	digester := d.Algorithm().Digester()
	var first manifestBuffer
	n, err := io.Copy(io.MultiWriter(digester.Hash(), &first), body)
	b.Size, b.Content, b.Manifest = n, digester.Digest(), first.content()
	t.Blobs[d] = b
	return err
}

// manifestBuffer keeps content that may be a manifest.
type manifestBuffer struct {
	bytes []byte
	not   bool
}

const maxManifest = 4 << 20

func (b *manifestBuffer) Write(p []byte) (int, error) {
	if !b.not {
		b.bytes = append(b.bytes, p...)
		b.not = len(b.bytes) > maxManifest || len(b.bytes) > 0 && b.bytes[0] != '{'
	}
	if b.not {
		b.bytes = nil
	}
	return len(p), nil
}

func (b *manifestBuffer) content() []byte { return b.bytes }

// addLink reads the links below repositories/<name>.
func (t *Tree) addLink(key string, path []string, body io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(body, 1<<10))
	if err != nil {
		return err
	}
	for i, part := range path {
		repository := strings.Join(path[:i], "/")
		switch part {
		case "_uploads":
			return nil // an upload that did not end; registries ignore it too
		case "_layers":
			t.link(key, path[i+1:], content, t.repository(repository).Layers)
			return nil
		case "_manifests":
			t.manifestLink(key, path[i+1:], content, t.repository(repository))
			return nil
		}
	}
	t.problem("%s is no part of a repository", key)
	return nil
}

func (t *Tree) manifestLink(key string, path []string, content []byte, r *Repository) {
	switch {
	case len(path) == 4 && path[0] == "revisions":
		t.link(key, path[1:], content, r.Revisions)
	case len(path) == 6 && path[0] == "tags" && path[2] == "index":
		t.link(key, path[3:], content, r.tag(path[1]).Index)
	case len(path) == 4 && path[0] == "tags" && path[2] == "current" && path[3] == "link":
		d := digest.Digest(content)
		if d.Validate() != nil {
			t.problem("%s has the content %q", key, content)
		}
		r.tag(path[1]).Current = d
	default:
		t.problem("%s is no part of a repository", key)
	}
}

// link takes the link <algorithm>/<hex>/link into a set.
func (t *Tree) link(key string, path []string, content []byte, into map[digest.Digest]bool) {
	if len(path) != 3 || path[2] != "link" {
		t.problem("%s is not the key of a link", key)
		return
	}
	d := digest.Digest(path[0] + ":" + path[1])
	if d.Validate() != nil || string(content) != d.String() {
		t.problem("%s has the content %q", key, content)
	}
	into[d] = true
}

func (t *Tree) repository(name string) *Repository {
	r := t.Repositories[name]
	if r == nil {
		r = &Repository{Layers: map[digest.Digest]bool{}, Revisions: map[digest.Digest]bool{}, Tags: map[string]*Tag{}}
		t.Repositories[name] = r
	}
	return r
}

func (r *Repository) tag(name string) *Tag {
	tag := r.Tags[name]
	if tag == nil {
		tag = &Tag{Index: map[digest.Digest]bool{}}
		r.Tags[name] = tag
	}
	return tag
}
