package registry

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO, tools.Registry, tools.ControlPlane) }

func startRegistry(t *testing.T, options stack.RegistryOptions) *stack.Registry {
	t.Helper()
	registry, err := servers.StartRegistry(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	registry.Attach(t)
	t.Cleanup(registry.Stop)
	return registry
}

// Images and indexes are copied from one registry to another, byte for byte.
func TestCopyBetweenRegistries(t *testing.T) {
	t.Parallel()
	store := servers.MinIO(t)
	from := startRegistry(t, stack.RegistryOptions{TLS: true})
	to := startRegistry(t, stack.RegistryOptions{TLS: true, Bucket: &stack.RegistryBucket{
		MinIO: store, Endpoint: store.Endpoint, Name: store.NewBucket(t), Redirect: true,
	}})
	layer, err := sampleimage.Layer(1, 50<<20)
	if err != nil {
		t.Fatal(err)
	}
	large, err := sampleimage.Docker().Image(layer)
	if err != nil {
		t.Fatal(err)
	}
	index, err := sampleimage.OCI().Index(2, 100<<10)
	if err != nil {
		t.Fatal(err)
	}
	ref := repository(t, from, "ns/app")
	if err := remote.WriteIndex(ref.Tag("index"), index, remote.WithTransport(from.Transport())); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref.Tag("large"), large, remote.WithTransport(from.Transport())); err != nil {
		t.Fatal(err)
	}
	source, _ := newClient(t, Config{Host: from.Host, CAs: from.CAPEM})
	target, _ := newClient(t, Config{Host: to.Host, CAs: to.CAPEM})
	copier := images.NewCopier(source, target, images.Limits{Images: 2, Blobs: 4}, target.log)
	for tag, described := range map[string]interface{ Digest() (v1.Hash, error) }{"large": large, "index": index} {
		found, err := described.Digest()
		if err != nil {
			t.Fatal(err)
		}
		image := images.Image{Digest: digest.Digest(found.String()), Sources: []string{"ns/absent", "ns/app"}, Repositories: []string{"moved/app", "moved/other"}}
		result, err := copier.Copy(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if result.Copied != result.Blobs || result.Copied == 0 {
			t.Errorf("%s: %d of %d blobs are copied", tag, result.Copied, result.Blobs)
		}
		if err := copier.Tag(t.Context(), "moved/other", tag, result.Manifest); err != nil {
			t.Error(err)
		}
		again, err := copier.Copy(t.Context(), image)
		if err != nil || again.Bytes != 0 {
			t.Errorf("%s, again: %d bytes, %v", tag, again.Bytes, err)
		}
	}
	moved := repository(t, to, "moved/other")
	pulled, err := remote.Index(moved.Tag("index"), remote.WithTransport(to.Transport()))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(pulled); err != nil {
		t.Error(err)
	}
	image, err := remote.Image(moved.Tag("large"), remote.WithTransport(to.Transport()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n < 50<<20 { // the library verifies it
		t.Errorf("%d bytes, %v", n, err)
	}
}

func repository(t *testing.T, registry *stack.Registry, path string) name.Repository {
	t.Helper()
	repository, err := name.NewRepository(registry.Host + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

// A blob that is in one repository is mounted into others, and one that is there
// already is not sent.
func TestBlobIsSentOnce(t *testing.T) {
	t.Parallel()
	registry := servers.Registry(t)
	blob, empty := newContent(300<<10), newContent(0)
	first, _ := newClient(t, Config{Host: registry.Host})
	put(t, first, "once/a", blob)
	put(t, first, "once/a", empty)
	for _, repository := range []string{"once/a", "once/b", "once/c"} {
		if n, err := first.PutBlob(t.Context(), repository, blob.Descriptor, unread(t)); n != 0 || err != nil {
			t.Errorf("%s: %d bytes, %v", repository, n, err)
		}
		if err := read(t, first, repository, blob); err != nil {
			t.Error(err)
		}
	}
	if err := read(t, first, "once/a", empty); err != nil {
		t.Error(err)
	}
	second, _ := newClient(t, Config{Host: registry.Host})
	if n, err := second.PutBlob(t.Context(), "once/b", blob.Descriptor, unread(t)); n != 0 || err != nil {
		t.Errorf("another client: %d bytes, %v", n, err)
	}
}

// Memory does not depend on the size of a blob.
func TestMemory(t *testing.T) {
	registry := startRegistry(t, stack.RegistryOptions{})
	c, _ := newClient(t, Config{Host: registry.Host})
	const size = 64 << 20
	zeros := func() io.Reader { return io.LimitReader(zero{}, size) }
	d, err := digest.FromReader(zeros())
	if err != nil {
		t.Fatal(err)
	}
	b := images.Descriptor{Digest: d, Size: size}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(zeros()), nil }
	if n, err := c.PutBlob(t.Context(), "memory/a", b, open); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	r, err := c.Blob(t.Context(), "memory/a", b)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if found, err := digest.FromReader(r); err != nil || found != d {
		t.Errorf("%s, %v", found, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d KiB of memory for a blob of %d MiB, there and back", used>>10, size>>20)
	}
}

// zero reads zeros.
type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Blobs of manifests of schema 1 have no known size.
func TestBlobOfUnknownSize(t *testing.T) {
	t.Parallel()
	registry := servers.Registry(t)
	c, _ := newClient(t, Config{Host: registry.Host})
	blob := newContent(100 << 10)
	unsized := blob.Descriptor
	unsized.Size = -1
	if n, err := c.PutBlob(t.Context(), "unsized/a", unsized, blob.open); err != nil || n != blob.Size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	r, err := c.Blob(t.Context(), "unsized/a", unsized)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || digest.FromBytes(data) != blob.Digest {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
