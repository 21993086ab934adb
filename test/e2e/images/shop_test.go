package images

import (
	"context"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// shop is an application whose images have all forms and histories that image
// streams give them.
type shop struct {
	namespace string
	objects   []*unstructured.Unstructured // as they were made, without status
	// pushed are the images of the tags that a restore pushes, the oldest first,
	// by stream and tag.
	pushed map[string]map[string][]artifact
	// old is the image of schema 1 among them.
	old schema1
}

// newShop makes the application. One image is also in another namespace, which
// is called like this one with "-tools" behind it.
func newShop(ctx context.Context, t *testing.T, s *site, namespace string) shop {
	t.Helper()
	const size = 20_000
	layer, image, index := made[v1.Layer](t), made[v1.Image](t), made[v1.ImageIndex](t)
	common := layer(sampleimage.Layer(1, size))
	docker := func(seed uint64) v1.Image {
		return image(sampleimage.Docker().Image(common, layer(sampleimage.Layer(seed, size))))
	}
	first, second, third := docker(2), docker(3), docker(4)
	base := image(sampleimage.OCI().Image(common))
	all := index(sampleimage.Docker().Index(10, size, common))
	attested := index(sampleimage.Attested(image(sampleimage.OCI().Image(layer(sampleimage.ZstdLayer(20, size))))))
	windows := image(sampleimage.Docker().Image(layer(sampleimage.ForeignLayer(21, size, "https://layers.example.com/windows")), common))
	a := shop{namespace: namespace, old: schema1{layers: []v1.Layer{common, layer(sampleimage.Layer(22, size))}}}
	a.old.Schema1 = made[sampleimage.Schema1](t)(sampleimage.NewSchema1(namespace+"/old", "v0", a.old.layers...))
	a.pushed = map[string]map[string][]artifact{
		"app":   {"v1": {first, second, third}, "v2": {second}, "pinned": {first}},
		"base":  {"1": {base}},
		"multi": {"all": {all}, "attested": {attested}, "windows": {windows}},
		"old":   {"v0": {a.old}},
		"empty": {},
	}

	must(t, s.cluster.CreateNamespace(ctx, namespace))
	must(t, s.cluster.CreateNamespace(ctx, namespace+"-tools"))
	digest := func(a artifact) string { return digestOf(t, a).String() }
	var err error
	a.objects, err = s.create(ctx, "shop.yaml", "NAMESPACE", namespace, "HOST", s.registry.Host,
		"FIRST", digest(first), "THIRD", digest(third), "ALL", digest(all), "OLD", digest(a.old))
	must(t, err)
	for _, p := range []struct {
		stream, tag string
		image       artifact
	}{
		{"app", "v1", first}, {"app", "v1", second}, {"app", "v1", third}, {"app", "v2", second},
		{"multi", "all", all}, {"multi", "attested", attested}, {"multi", "windows", windows},
	} {
		must(t, s.push(ctx, namespace+"/"+p.stream, p.tag, p.image))
	}
	must(t, s.pushSchema1(ctx, namespace+"/old", "v0", a.old))
	must(t, s.push(ctx, namespace+"-tools/base", "1", base))
	// What controllers make of tags that follow others.
	app := s.registry.Host + "/" + namespace + "/app"
	must(t, s.name(ctx, namespace, "app", "pinned", app, digest(first)))
	must(t, s.name(ctx, namespace, "app", "latest", app, digest(second), digest(third)))
	must(t, s.name(ctx, namespace, "app", "outside", "quay.io/example/outside", "sha256:"+strings.Repeat("0", 64)))
	must(t, s.name(ctx, namespace, "base", "1", s.registry.Host+"/"+namespace+"-tools/base", digest(base)))
	return a
}

// name lets a tag of a stream name images of a repository, one after the other,
// as controllers of OpenShift do.
func (s *site) name(ctx context.Context, namespace, stream, tag, repository string, images ...string) error {
	streams := s.resource(imageStream, namespace)
	object, err := streams.Get(ctx, stream, metav1.GetOptions{})
	if err != nil {
		return err
	}
	items := []any{}
	for _, image := range images {
		items = append([]any{map[string]any{
			"created": "2026-01-02T03:04:05Z", "generation": int64(1), "image": image, "dockerImageReference": repository + "@" + image,
		}}, items...)
	}
	tags, _, err := unstructured.NestedSlice(object.Object, "status", "tags")
	if err != nil {
		return err
	}
	tags = append(tags, map[string]any{"tag": tag, "items": items})
	if err := unstructured.SetNestedSlice(object.Object, tags, "status", "tags"); err != nil {
		return err
	}
	_, err = streams.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// wanted is the history of the pushed tags of a stream after a restore, of which
// converted images have another digest.
func (a shop) wanted(t *testing.T, stream string, converted map[digest.Digest]digest.Digest) map[string][]digest.Digest {
	tags := map[string][]digest.Digest{}
	for tag, images := range a.pushed[stream] {
		for _, image := range images {
			d := digestOf(t, image)
			if now := converted[d]; now != "" {
				d = now
			}
			tags[tag] = append([]digest.Digest{d}, tags[tag]...)
		}
	}
	return tags
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
