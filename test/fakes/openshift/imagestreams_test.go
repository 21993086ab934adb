package openshift_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// A push by tag is in the image stream when it has returned, in front of what
// the tag named before.
func TestPushesByTag(t *testing.T) {
	s := newSite(t)
	stream := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
		"metadata": map[string]any{"name": "app", "labels": map[string]any{"kept": "yes"}},
		"spec":     map[string]any{"lookupPolicy": map[string]any{"local": true}},
	}}
	_, err := s.streams().Create(t.Context(), stream, metav1.CreateOptions{})
	s.must(err)
	first, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	second, err := s.push(s.admin(), "app:1", 3)
	s.must(err)
	if got := s.images("app", "1"); !reflect.DeepEqual(got, []string{s.digest(second), s.digest(first)}) {
		t.Errorf("history %v of %s after %s", got, s.digest(second), s.digest(first))
	}
	before := s.stream("app")
	s.put("app", "1", second)
	if after := s.stream("app"); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("the same image again changes the image stream")
	}
	_, err = s.push(s.admin(), "app:1", 1)
	s.must(err)
	if got := s.images("app", "1"); !reflect.DeepEqual(got, []string{s.digest(first), s.digest(second), s.digest(first)}) {
		t.Errorf("history %v after the first image again", got)
	}

	host := s.Host + "/" + s.namespace + "/app"
	found := s.stream("app")
	status, _, _ := unstructured.NestedMap(found.Object, "status")
	item := s.items("app", "1")[0]
	if status["dockerImageRepository"] != host || item["dockerImageReference"] != host+"@"+s.digest(first) || item["created"] == nil || item["generation"] == nil {
		t.Errorf("status %v", status)
	}
	if local, _, _ := unstructured.NestedBool(found.Object, "spec", "lookupPolicy", "local"); !local || found.GetLabels()["kept"] != "yes" {
		t.Errorf("the rest of the image stream: %v", found.Object)
	}
	descriptor, err := remote.Head(s.reference("app:1"), s.options(s.admin())...)
	s.must(err)
	if descriptor.Digest.String() != s.digest(first) {
		t.Errorf("the tag is of %s", descriptor.Digest)
	}
}

// Pushes to one image stream at the same time are all in it.
func TestPushesAtATime(t *testing.T) {
	s := newSite(t)
	var pushes errgroup.Group
	for i := range uint64(8) {
		to, image := s.reference(fmt.Sprintf("app:%d", i)), s.image(i)
		pushes.Go(func() error { return remote.Write(to, image, s.options(s.admin())...) })
	}
	s.must(pushes.Wait())
	for i := range uint64(8) {
		if got, want := s.images("app", fmt.Sprint(i)), []string{s.digest(s.image(i))}; !reflect.DeepEqual(got, want) {
			t.Errorf("tag %d has %v in place of %v", i, got, want)
		}
	}
}

// A push by digest makes an Image. The image stream knows nothing of it, and the
// registry serves only what the image stream knows.
func TestPushesByDigest(t *testing.T) {
	s := newSite(t)
	const seed = 100 // of no other test: the cluster would have the Image already
	_, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	before := s.stream("app")
	digest := s.digest(s.image(seed))
	_, err = s.push(s.admin(), "app@"+digest, seed)
	s.must(err)
	images := s.cluster.Dynamic.Resource(resource("images"))
	image, err := images.Get(t.Context(), "sha256-"+digest[len("sha256:"):], metav1.GetOptions{})
	s.must(err)
	if got := image.Object["dockerImageReference"]; got != s.Host+"/"+s.namespace+"/app@"+digest {
		t.Errorf("image %v", got)
	}
	if after := s.stream("app"); !reflect.DeepEqual(after, before) {
		t.Errorf("the image stream changes to %v", after.Object)
	}
	if _, err := remote.Head(s.reference("app@"+digest), s.options(s.admin())...); status(err) != http.StatusNotFound {
		t.Errorf("pulled without a tag: %v", err)
	}
	_, err = s.push(s.admin(), "app:2", seed)
	s.must(err)
	if _, err := remote.Head(s.reference("app@"+digest), s.options(s.admin())...); err != nil {
		t.Errorf("pulled with a tag: %v", err)
	}
}

// The images of an index are served once the image stream has the index, which
// need not have all of them.
func TestIndexes(t *testing.T) {
	s := newSite(t)
	index, err := sampleimage.OCI().Index(1, 1000)
	s.must(err)
	manifest, err := index.IndexManifest()
	s.must(err)
	children := manifest.Manifests
	for _, child := range children[:3] {
		image, err := index.Image(child.Digest)
		s.must(err)
		s.must(remote.Write(s.reference("app@"+child.Digest.String()), image, s.options(s.admin())...))
	}
	first := s.reference("app@" + children[0].Digest.String())
	if _, err := remote.Head(first, s.options(s.admin())...); status(err) != http.StatusNotFound {
		t.Errorf("pulled before the index: %v", err)
	}
	s.must(remote.Put(s.reference("app:1"), index, s.options(s.admin())...))
	if _, err := remote.Head(first, s.options(s.admin())...); err != nil {
		t.Errorf("pulled after the index: %v", err)
	}
	if _, err := remote.Head(s.reference("app@"+children[3].Digest.String()), s.options(s.admin())...); status(err) != http.StatusNotFound {
		t.Errorf("pulled although it was never pushed: %v", err)
	}
	if got := s.images("app", "1"); !reflect.DeepEqual(got, []string{s.digest(index)}) {
		t.Errorf("history %v of index %s", got, s.digest(index))
	}
}

// An image stream that is not there is made by the user, who may have to be
// allowed that, and in a namespace that is there.
func TestNewImageStreams(t *testing.T) {
	s := newSite(t)
	pusher, creator := s.account("pusher", push()), s.account("creator", push(), create())
	if _, err := s.push(pusher, "app:1", 1); status(err) != http.StatusForbidden {
		t.Errorf("made by somebody who may not: %v", err)
	}
	_, err := s.push(creator, "app:1", 1)
	s.must(err)
	_, err = s.push(pusher, "app:1", 3)
	s.must(err)

	s.namespace = "no-such-namespace"
	if _, err := s.push(creator, "app:1", 1); status(err) != http.StatusUnauthorized {
		t.Errorf("in no namespace: %v", err)
	}
	if _, err := s.push(s.admin(), "app:1", 1); status(err) != http.StatusInternalServerError {
		t.Errorf("in no namespace, as administrator: %v", err)
	}
}

// What an image stream has is not deleted.
func TestDeletions(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	kept := s.reference("app@" + s.digest(image))
	if err := remote.Delete(kept, s.options(s.admin())...); status(err) != http.StatusMethodNotAllowed {
		t.Errorf("deleted from under the image stream: %v", err)
	}
	if err := remote.Delete(kept, s.options(s.account("pusher", push()))...); status(err) != http.StatusUnauthorized {
		t.Errorf("deleted by somebody who may only push: %v", err)
	}
	s.must(s.streams().Delete(t.Context(), "app", metav1.DeleteOptions{}))
	s.must(remote.Delete(kept, s.options(s.admin())...))
}

func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: plural}
}

// put sends a manifest that the registry has, which go-containerregistry does
// not.
func (s *site) put(stream, tag string, image v1.Image) {
	s.t.Helper()
	content, err := image.RawManifest()
	s.must(err)
	answer := s.get("/v2/"+s.namespace+"/"+stream+"/manifests/"+tag, func(r *http.Request) {
		r.Method, r.Body = http.MethodPut, io.NopCloser(bytes.NewReader(content))
		r.Header.Set("Content-Type", string(types.DockerManifestSchema2))
		bearer(s.admin())(r)
	})
	if answer.StatusCode != http.StatusCreated {
		s.t.Fatal(answer.Status)
	}
}

func (s *site) streams() dynamic.ResourceInterface {
	return s.cluster.Dynamic.Resource(resource("imagestreams")).Namespace(s.namespace)
}

func (s *site) stream(name string) *unstructured.Unstructured {
	s.t.Helper()
	found, err := s.streams().Get(s.t.Context(), name, metav1.GetOptions{})
	s.must(err)
	return found
}

// items is the history of a tag.
func (s *site) items(stream, tag string) []map[string]any {
	s.t.Helper()
	tags, _, err := unstructured.NestedSlice(s.stream(stream).Object, "status", "tags")
	s.must(err)
	var items []map[string]any
	for _, entry := range tags {
		if entry := entry.(map[string]any); entry["tag"] == tag {
			for _, item := range entry["items"].([]any) {
				items = append(items, item.(map[string]any))
			}
		}
	}
	return items
}

// images are the digests of a tag's history.
func (s *site) images(stream, tag string) []string {
	s.t.Helper()
	var images []string
	for _, item := range s.items(stream, tag) {
		images = append(images, item["image"].(string))
	}
	return images
}
