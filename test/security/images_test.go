package security

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// newImage makes an image that nobody else has.
func newImage(t *testing.T, seed uint64) v1.Image {
	t.Helper()
	layer, err := sampleimage.Layer(seed, 50_000)
	must(t, err)
	image, err := sampleimage.Docker().Image(layer)
	must(t, err)
	return image
}

// withBackup gives the attacker an image stream called app and a backup of it.
func (a *attacker) withBackup(ctx context.Context, seed uint64) {
	a.t.Helper()
	must(a.t, a.push(ctx, a.namespace+"/app", newImage(a.t, seed)))
	if phase, message := a.offer(ctx, a.location()); phase != "Available" {
		a.t.Fatalf("the location is %s: %s", phase, message)
	}
	if backup := a.backup(ctx); stack.Phase(backup) != "Completed" {
		a.t.Fatalf("the backup is %v", backup.Object["status"])
	}
}

// victimStream is what the other namespace has, to be compared.
func (c *cluster) victimStream(ctx context.Context, t *testing.T) *unstructured.Unstructured {
	t.Helper()
	stream, err := c.streams(victim).Get(ctx, "app", metav1.GetOptions{})
	must(t, err)
	return stream
}

// An item whose JSON names another namespace than its path in the tarball does
// not get an image into that namespace, although the plugin pushes images itself.
func TestItemOfAnotherNamespaceIsNotRestored(t *testing.T) {
	for _, stream := range []string{"app", "planted"} { // one that is there, and one that is not
		t.Run(stream, func(t *testing.T) {
			a := newAttacker(t)
			ctx := newContext(t)
			before := a.victimStream(ctx, t)
			a.withBackup(ctx, 100)
			a.rewriteItems(ctx, func(path string, item *unstructured.Unstructured) {
				if strings.Contains(path, "imagestreams") {
					item.SetNamespace(victim)
					item.SetName(stream)
				}
			})
			a.copyRepository(ctx, victim+"/"+stream)
			a.loseNamespace(ctx)
			a.restore(ctx)
			if now := a.victimStream(ctx, t); now.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("the image stream of the other namespace has changed: %v", now.Object["status"])
			}
			if _, err := a.streams(victim).Get(ctx, "planted", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("an image stream in the other namespace: %v", err)
			}
			a.mustHaveStayedInside()
		})
	}
}

// A tag of an image stream that names the image of somebody else, as the API
// lets everybody write it, does not get that image into the attacker's backup.
func TestImageOfAnotherNamespaceIsNotRead(t *testing.T) {
	for name, withImage := range map[string]bool{"without an image": false, "with an image": true} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t)
			ctx := newContext(t)
			digest, err := a.image.Digest()
			must(t, err)
			reference := fmt.Sprintf("%s/%s/app@%s", a.registry.Host, victim, digest)
			item := map[string]any{"created": "2026-01-02T03:04:05Z", "generation": int64(1), "dockerImageReference": reference, "image": ""}
			if withImage {
				item["image"] = digest.String()
			}
			stream := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
				"metadata": map[string]any{"name": "stolen"},
				"spec": map[string]any{"tags": []any{map[string]any{
					"name": "v1", "reference": true, "from": map[string]any{"kind": "DockerImage", "name": reference},
				}}},
				"status": map[string]any{"tags": []any{map[string]any{"tag": "v1", "items": []any{item}}}},
			}}
			_, err = a.streams(a.namespace).Create(ctx, stream, metav1.CreateOptions{})
			must(t, err)
			if phase, message := a.offer(ctx, a.location()); phase != "Available" {
				t.Fatalf("the location is %s: %s", phase, message)
			}
			a.backup(ctx)
			layers, err := a.image.Layers()
			must(t, err)
			layer, err := layers[0].Digest()
			must(t, err)
			for _, key := range a.keysIn(ctx, t, a.bucket) {
				if strings.Contains(key, layer.Hex) || strings.Contains(key, digest.Hex) {
					t.Errorf("the attacker's bucket has %s, of the image of somebody else", key)
				}
			}
			a.mustHaveStayedInside()
		})
	}
}

// A manifest that was replaced in the bucket is not restored under the digest of
// the one that it replaces.
func TestReplacedManifestIsNotRestored(t *testing.T) {
	a := newAttacker(t)
	ctx := newContext(t)
	a.withBackup(ctx, 200)
	digest, err := newImage(t, 200).Digest()
	must(t, err)
	other, err := newImage(t, 201).RawManifest()
	must(t, err)
	key := fmt.Sprintf("/docker/registry/v2/blobs/sha256/%s/%s/data", digest.Hex[:2], digest.Hex)
	if !slices.ContainsFunc(a.keysIn(ctx, t, a.bucket), func(k string) bool { return strings.HasSuffix("/"+k, key) }) {
		t.Fatalf("the bucket has no %s: %q", key, a.keysIn(ctx, t, a.bucket))
	}
	a.replace(ctx, key, other)
	a.loseNamespace(ctx)
	if phase := stack.Phase(a.restore(ctx)); phase == "Completed" {
		t.Error("the restore is Completed although its manifest was replaced")
	}
	stream, err := a.streams(a.namespace).Get(ctx, "app", metav1.GetOptions{})
	if err == nil && strings.Contains(fmt.Sprint(stream.Object["status"]), digest.Hex) {
		t.Errorf("the stream names the image: %v", stream.Object["status"])
	}
	a.mustHaveStayedInside()
}
