package images

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/support/registrytree"
)

// TestEverythingIsLostAndRestored backs up a namespace, loses it with all data
// of the registry and restores it: in the same cluster under the same name, and
// in another cluster under another name. Meanwhile a stock registry serves the
// images of the backup, and in the end the other cluster deletes it.
func TestEverythingIsLostAndRestored(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	bucket := w.store.NewBucket(t)
	here := w.location("story", bucket)
	w.newLocation(ctx, t, here)
	from := w.logEnd(t)
	shop := newShop(ctx, t, w.one, "shop")
	object, err := w.velero.Backup(ctx, "story", map[string]any{"storageLocation": here.Name, "includedNamespaces": []any{"shop"}})
	must(t, err)
	mustComplete(ctx, t, w.velero, object)
	converted := conversions(w.tree(ctx, t, bucket))
	old := shop.old.Schema1.Digest
	if converted[old] == "" || len(converted) != 1 {
		t.Errorf("converted images: %v, want %s alone", converted, old)
	}
	summary := w.backedUp(ctx, t, bucket, "story", "story", "old").GetAnnotations()["oadp.openshift.io/image-copy"]
	if !strings.Contains(summary, fmt.Sprintf(`"converted":{%q:%q}`, old, converted[old])) {
		t.Errorf("the summary of the copy does not name the converted image: %s", summary)
	}
	shop.mustBeServed(ctx, t, w.newStranger(ctx, t, bucket), converted)

	must(t, w.one.loseImages(ctx))
	must(t, w.one.cluster.DeleteNamespace(ctx, "shop"))
	restore(ctx, t, w.velero, "story-here", "story", nil)
	shop.mustBeBack(ctx, t, w.one, "shop", converted)
	mustHaveCleanLog(ctx, t, w.velero, from)

	two, err := w.two()
	must(t, err)
	w.velero.Stop()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := w.velero.Restart(ctx); err != nil {
			t.Error(err)
		}
	})
	velero, _, err := startVelero(ctx, w, two, "two")
	must(t, err)
	defer velero.Stop()
	there := here
	there.Name = "elsewhere"
	addLocation(ctx, t, velero, there)
	must(t, velero.Restart(ctx)) // it looks for backups when it starts
	must(t, velero.AwaitBackup(ctx, "story", true))
	restore(ctx, t, velero, "story-there", "story", map[string]any{"shop": "market"})
	shop.mustBeBack(ctx, t, two, "market", converted)

	must(t, velero.DeleteBackup(ctx, "story"))
	if left := contents(w.tree(ctx, t, bucket)); len(left) != 0 {
		t.Errorf("the deletion of the backup has left %q", left)
	}
	w.mustHaveDecentLog(t) // of both servers
}

// mustBeServed pulls all images of a backup, by digest and by tag, from a stock
// registry with its storage in the bucket.
func (a shop) mustBeServed(ctx context.Context, t *testing.T, registry *stranger, converted map[digest.Digest]digest.Digest) {
	t.Helper()
	for stream, tags := range sorted(a.pushed) {
		repository := registry.Host + "/" + a.namespace + "/" + stream
		for tag, images := range sorted(tags) {
			for _, image := range images {
				mustBeTheSame(t, repository, image, converted[digestOf(t, image)], remote.WithContext(ctx))
			}
			to, err := name.NewTag(repository + ":" + tag)
			must(t, err)
			current, err := remote.Get(to, remote.WithContext(ctx))
			must(t, err)
			if want := a.wanted(t, stream, converted)[tag][0]; current.Digest.String() != want.String() {
				t.Errorf("stock registry: %s is %s, want %s", to, current.Digest, want)
			}
		}
	}
	// Where a stream says that the image is elsewhere, older plugins look there.
	registry.mustServe(ctx, t, a.namespace+"-tools/base", a.pushed["base"]["1"]...)
}

// conversions are the digests that images of schema 1 have in a bucket.
func conversions(tree *registrytree.Tree) map[digest.Digest]digest.Digest {
	converted := map[digest.Digest]digest.Digest{}
	for _, key := range tree.Keys("converted/v1/") {
		old, _, _ := strings.Cut(strings.TrimPrefix(key, "converted/v1/"), "/")
		converted[digest.Digest(old)] = digest.Digest(tree.Own[key])
	}
	return converted
}

// mustBeBack compares all that was restored with what was there at first.
func (a shop) mustBeBack(ctx context.Context, t *testing.T, s *site, namespace string, converted map[digest.Digest]digest.Digest) {
	t.Helper()
	for stream, tags := range sorted(a.pushed) {
		restored := s.stream(ctx, t, namespace, stream)
		a.mustHaveMetadata(t, restored)
		now := history(restored)
		for tag, want := range sorted(a.wanted(t, stream, converted)) {
			if !slices.Equal(now[tag], want) {
				t.Errorf("%s:%s names %q, want %q", stream, tag, now[tag], want)
			}
			for _, image := range tags[tag] {
				mustBeTheSame(t, s.registry.Host+"/"+namespace+"/"+stream, image, converted[digestOf(t, image)], s.options(ctx)...)
			}
		}
	}
	a.mustResolve(ctx, t, s, namespace)
}

// mustBeTheSame pulls an image and compares every byte, or what it has become if
// it had to be converted.
func mustBeTheSame(t *testing.T, repository string, image artifact, converted digest.Digest, options ...remote.Option) {
	t.Helper()
	from, err := name.NewRepository(repository)
	must(t, err)
	old, isOld := image.(schema1)
	if !isOld {
		if err := compare(from, image, options); err != nil {
			t.Error(err)
		}
		return
	}
	found, err := remote.Image(from.Digest(converted.String()), options...)
	must(t, err)
	if err := validate.Image(found); err != nil {
		t.Errorf("%s@%s: %v", from, converted, err)
	}
	layers, err := found.Layers()
	must(t, err)
	if len(layers) != len(old.layers) {
		t.Errorf("%s@%s has %d layers", from, converted, len(layers))
	}
	for _, layer := range old.layers {
		if err := compareBlob(from, layer, options); err != nil {
			t.Error(err)
		}
	}
}

// restoredMetadata are what a restore adds to an object.
var restoredMetadata = []string{
	"velero.io/backup-name", "velero.io/restore-name",
	"openshift.io/backup-server-version", "openshift.io/restore-server-version",
	"openshift.io/backup-registry-hostname", "openshift.io/restore-registry-hostname",
}

// mustHaveMetadata compares all of a stream but what tags stand for. A tag whose
// images are pushed refers to nothing any more.
func (a shop) mustHaveMetadata(t *testing.T, restored *unstructured.Unstructured) {
	t.Helper()
	i := slices.IndexFunc(a.objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "ImageStream" && o.GetName() == restored.GetName()
	})
	was := a.objects[i].DeepCopy()
	tags, _, _ := unstructured.NestedSlice(was.Object, "spec", "tags")
	for _, element := range tags {
		tag := element.(map[string]any)
		if _, pushed := a.pushed[was.GetName()][tag["name"].(string)]; pushed {
			delete(tag, "from")
		}
	}
	if tags != nil {
		must(t, unstructured.SetNestedSlice(was.Object, tags, "spec", "tags"))
	}
	without := func(m map[string]string) map[string]string {
		m = maps.Clone(m)
		for _, key := range restoredMetadata {
			delete(m, key)
		}
		return m
	}
	for what, pair := range map[string][2]any{
		"labels":      {was.GetLabels(), without(restored.GetLabels())},
		"annotations": {was.GetAnnotations(), without(restored.GetAnnotations())},
		"spec":        {was.Object["spec"], restored.Object["spec"]},
	} {
		if before, after := text(t, pair[0]), text(t, pair[1]); before != after {
			t.Errorf("image stream %s: %s were %s and are %s", was.GetName(), what, before, after)
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	must(t, err)
	if string(text) == "{}" {
		return "null"
	}
	return string(text)
}

// mustResolve expects that each image of the restored workloads that is in the
// registry can be pulled.
func (a shop) mustResolve(ctx context.Context, t *testing.T, s *site, namespace string) {
	t.Helper()
	for _, object := range a.objects {
		if object.GetKind() == "ImageStream" {
			continue
		}
		restored, err := s.resource(object.GroupVersionKind(), namespace).Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, image := range images(restored.Object) {
			host, _, _ := strings.Cut(image, "/")
			if host == "docker.io" {
				continue
			}
			reference, err := name.ParseReference(image)
			must(t, err)
			if _, err := remote.Get(reference, s.options(ctx)...); err != nil || host != s.registry.Host {
				t.Errorf("%s %s has the image %s: %v", object.GetKind(), object.GetName(), image, err)
			}
		}
	}
}

// images are the names of images anywhere in an object.
func images(value any) []string {
	var found []string
	switch value := value.(type) {
	case map[string]any:
		if value["kind"] == "DockerImage" {
			return append(found, value["name"].(string))
		}
		for key, inner := range sorted(value) {
			if image, ok := inner.(string); ok && key == "image" {
				found = append(found, image)
			} else {
				found = append(found, images(inner)...)
			}
		}
	case []any:
		for _, inner := range value {
			found = append(found, images(inner)...)
		}
	}
	return found
}
