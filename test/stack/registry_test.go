package stack_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// An image is in a registry's folder, and outlasts the registry's death.
func TestRegistryInAFolder(t *testing.T) {
	registry := startRegistry(t, stack.RegistryOptions{TLS: true})
	image := push(t, registry, "ns/app:1")
	registry.Kill()
	if _, err := pull(t, registry, "ns/app:1"); err == nil {
		t.Error("the killed registry serves")
	}
	if err := registry.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pulled, err := pull(t, registry, "ns/app:1")
	if err != nil || pulled != image {
		t.Errorf("pulled %s, %v in place of %s", pulled, err, image)
	}
	if err := remote.Delete(reference(t, registry, "ns/app@"+image.String()), options(registry)...); err != nil {
		t.Error(err)
	}
	if _, err := pull(t, registry, "ns/app@"+image.String()); err == nil {
		t.Error("the deleted image is served")
	}
}

// An image is in a bucket, from its root, at either of MinIO's endpoints.
func TestRegistryInABucket(t *testing.T) {
	store := servers.MinIO(t)
	bucket := store.NewBucket(t)
	for _, endpoint := range []string{store.Endpoint, store.TLSEndpoint} {
		registry := startRegistry(t, stack.RegistryOptions{Bucket: &stack.RegistryBucket{MinIO: store, Endpoint: endpoint, Name: bucket}})
		image := push(t, registry, "ns/app:1")
		pulled, err := pull(t, registry, "ns/app:1")
		if err != nil || pulled != image {
			t.Errorf("pulled %s, %v in place of %s", pulled, err, image)
		}
		client, err := store.Client(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		key := "docker/registry/v2/blobs/sha256/" + image.Hex[:2] + "/" + image.Hex + "/data"
		if _, err := client.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{}); err != nil {
			t.Errorf("%s at %s: %v", key, endpoint, err)
		}
	}
}

// Clients are sent to the bucket for blobs, if that is wanted.
func TestRegistryRedirects(t *testing.T) {
	store := servers.MinIO(t)
	registry := startRegistry(t, stack.RegistryOptions{Bucket: &stack.RegistryBucket{
		MinIO: store, Endpoint: store.Endpoint, Name: store.NewBucket(t), Redirect: true,
	}})
	digest := push(t, registry, "ns/app:1")
	if pulled, err := pull(t, registry, "ns/app:1"); err != nil || pulled != digest {
		t.Errorf("pulled %s, %v in place of %s", pulled, err, digest)
	}
	image, err := remote.Image(reference(t, registry, "ns/app:1"), options(registry)...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, registry.Endpoint+"/v2/ns/app/blobs/"+config.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := registry.Transport().RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if to := response.Header.Get("Location"); response.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(to, store.Endpoint) {
		t.Errorf("%s to %q", response.Status, to)
	}
}

func TestRegistryIsShared(t *testing.T) {
	registry := servers.Registry(t)
	push(t, registry, "ns/shared:1")
	tags, err := remote.List(reference(t, registry, "ns/shared:1").Context(), options(registry)...)
	if err != nil || !slices.Equal(tags, []string{"1"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
}

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

func reference(t *testing.T, registry *stack.Registry, image string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(registry.Host + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func options(registry *stack.Registry) []remote.Option {
	once := func(error) bool { return false }
	return []remote.Option{remote.WithTransport(registry.Transport()), remote.WithRetryPredicate(once)}
}

// push pushes an image of random content and returns its digest.
func push(t *testing.T, registry *stack.Registry, to string) v1.Hash {
	t.Helper()
	image, err := random.Image(64<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference(t, registry, to), image, options(registry)...); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// pull pulls an image, verifies it and returns its digest.
func pull(t *testing.T, registry *stack.Registry, from string) (v1.Hash, error) {
	t.Helper()
	image, err := remote.Image(reference(t, registry, from), options(registry)...)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := validate.Image(image); err != nil {
		return v1.Hash{}, err
	}
	return image.Digest()
}
