package images

import (
	"context"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// site is a cluster of OpenShift with its internal registry.
type site struct {
	cluster  *stack.ControlPlane
	registry *fakes.Registry
	backend  *stack.Registry // has the registry's data
}

// newSite makes a cluster one of OpenShift.
func newSite(ctx context.Context, cluster *stack.ControlPlane) (*site, error) {
	if err := fakes.Install(ctx, cluster.Dynamic); err != nil {
		return nil, err
	}
	backend, err := servers.StartRegistry(ctx, stack.RegistryOptions{})
	if err != nil {
		return nil, err
	}
	registry, err := fakes.StartRegistry(cluster, backend)
	if err != nil {
		return nil, err
	}
	s := &site{cluster, registry, backend}
	_, err = s.create(ctx, "cluster.yaml", "HOST", registry.Host)
	return s, err
}

// create makes the objects of a file in which words are replaced.
func (s *site) create(ctx context.Context, file string, replace ...string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		return nil, err
	}
	var made []*unstructured.Unstructured
	for part := range strings.SplitSeq(strings.NewReplacer(replace...).Replace(string(text)), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &object.Object); err != nil {
			return nil, err
		}
		created, err := s.resource(object.GroupVersionKind(), object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		made = append(made, created)
	}
	return made, nil
}

func (s *site) resource(kind schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	plural := strings.ToLower(kind.Kind)
	if !strings.HasSuffix(plural, "s") {
		plural += "s"
	}
	return s.cluster.Dynamic.Resource(kind.GroupVersion().WithResource(plural)).Namespace(namespace)
}

var imageStream = schema.GroupVersionKind{Group: "image.openshift.io", Version: "v1", Kind: "ImageStream"}

// stream returns an image stream.
func (s *site) stream(ctx context.Context, t *testing.T, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	found, err := s.resource(imageStream, namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("image stream %s/%s: %v", namespace, name, err)
	}
	return found
}

// options are those of a client that may do everything.
func (s *site) options(ctx context.Context) []remote.Option {
	return append(s.registry.Remote(s.cluster.Config.BearerToken), remote.WithContext(ctx))
}

// loseImages takes all data from the registry.
func (s *site) loseImages(ctx context.Context) error {
	s.backend.Stop()
	if err := os.RemoveAll(s.backend.Folder); err != nil {
		return err
	}
	return s.backend.Start(ctx)
}

// history is what a stream says of its tags: for each the images, the current
// one first.
func history(stream *unstructured.Unstructured) map[string][]digest.Digest {
	tags := map[string][]digest.Digest{}
	list, _, _ := unstructured.NestedSlice(stream.Object, "status", "tags")
	for _, element := range list {
		tag := element.(map[string]any)
		items, _, _ := unstructured.NestedSlice(tag, "items")
		name, _ := tag["tag"].(string)
		tags[name] = nil
		for _, item := range items {
			image, _ := item.(map[string]any)["image"].(string)
			tags[name] = append(tags[name], digest.Digest(image))
		}
	}
	return tags
}

// sorted yields the entries of a map in the order of their keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
