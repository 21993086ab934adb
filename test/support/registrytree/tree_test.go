package registrytree_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/minio/minio-go/v7"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/registrytree"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO, tools.Registry) }

// bucket has an index that a stock registry has written.
type bucket struct {
	t      *testing.T
	client *minio.Client
	name   string
	index  digest.Digest
}

func newBucket(t *testing.T) bucket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := servers.MinIO(t)
	b := bucket{t: t, name: store.NewBucket(t)}
	registry, err := servers.StartRegistry(ctx, stack.RegistryOptions{
		Bucket: &stack.RegistryBucket{MinIO: store, Endpoint: store.TLSEndpoint, Name: b.name},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Stop)
	if b.client, err = store.Client(store.TLSEndpoint); err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(1000, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(registry.Host + "/shop/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(reference, index, remote.WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	d, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	b.index = digest.Digest(d.String())
	return b
}

func (b bucket) read() *registrytree.Tree {
	b.t.Helper()
	tree, err := registrytree.Read(b.t.Context(), b.client, b.name)
	if err != nil {
		b.t.Fatal(err)
	}
	return tree
}

// key is the first key with these parts.
func (b bucket) key(parts ...string) string {
	b.t.Helper()
	for object := range b.client.ListObjectsIter(b.t.Context(), b.name, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			b.t.Fatal(object.Err)
		}
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(object.Key, part) }) {
			return object.Key
		}
	}
	b.t.Fatalf("no key with %q", parts)
	return ""
}

// with changes an object for the time of a function; nil is none.
func (b bucket) with(key string, content []byte, do func()) {
	b.t.Helper()
	ctx := b.t.Context()
	body, err := b.client.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var old bytes.Buffer
	if _, err := old.ReadFrom(body); err != nil {
		b.t.Fatal(err)
	}
	set := func(content []byte) {
		b.t.Helper()
		err := b.client.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{})
		if err == nil && content != nil {
			_, err = b.client.PutObject(ctx, b.name, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	set(content)
	do()
	set(old.Bytes())
}

func TestCheck(t *testing.T) {
	b := newBucket(t)
	whole := b.read()
	if problems := whole.Check(); len(problems) != 0 {
		t.Fatalf("the tree of a stock registry: %q", problems)
	}
	shop := whole.Repositories["shop/app"]
	// Two images with a configuration and two layers each.
	if shop == nil || len(whole.Blobs) != 9 || len(shop.Layers) != 6 || len(shop.Revisions) != 3 ||
		shop.Tags["v1"].Current != b.index || !shop.Tags["v1"].Index[b.index] {
		t.Fatalf("%d blobs, %+v", len(whole.Blobs), shop)
	}
	var layer, child string
	for d := range shop.Layers {
		layer = d.Encoded()
	}
	for d := range shop.Revisions {
		if d != b.index {
			child = d.Encoded()
		}
	}
	for _, c := range []struct {
		name    string
		key     string
		content []byte
		want    string
	}{
		{"layer gone", b.key("blobs", layer), nil, "which is not there"},
		{"half a layer", b.key("blobs", layer), []byte("half"), "has the content of"},
		{"half a layer, by its size", b.key("blobs", layer), []byte("half"), "of which there are 4"},
		{"link to a layer gone", b.key("_layers", layer), nil, "has no link"},
		{"link to nowhere", b.key("_layers", layer), []byte("sha256:1"), `has the content "sha256:1"`},
		{"manifest gone", b.key("blobs", child), nil, "links manifest sha256:" + child + ", which is not there"},
		{"manifest that is none", b.key("blobs", child), []byte("x"), "which is none"},
		{"revision gone", b.key("revisions", child), nil, "which is no revision of the repository"},
		{"revision of a tag gone", b.key("revisions", b.index.Encoded()), nil, "tag shop/app:v1 names"},
		{"tag to nowhere", b.key("current"), []byte("v2"), `has the content "v2"`},
		{"tag without its index", b.key("tags", "index"), nil, "not in the tag's index"},
	} {
		b.with(c.key, c.content, func() {
			if problems := b.read().Check(); !strings.Contains(strings.Join(problems, "\n"), c.want) {
				t.Errorf("%s: %q, want %q", c.name, problems, c.want)
			}
		})
	}
	b.with(b.key("revisions", child), nil, func() {
		if problems := b.read().Check(digest.Digest("sha256:" + child)); len(problems) != 0 {
			t.Errorf("a child that may be missing: %q", problems)
		}
	})
	if problems := b.read().Check(); len(problems) != 0 {
		t.Errorf("the whole tree again: %q", problems)
	}
}
