package images

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// app is a namespace with an image stream called app, whose tag v1 has a
// history.
type app struct {
	namespace string
	images    []v1.Image // the oldest first
}

// newApp makes an app whose images have a common layer of that many bytes and a
// smaller one of their own. Equal seeds make equal images.
func newApp(ctx context.Context, t *testing.T, s *site, namespace string, seed uint64, images int, size int64) app {
	t.Helper()
	must(t, s.cluster.CreateNamespace(ctx, namespace))
	a := app{namespace: namespace}
	layer := made[v1.Layer](t)
	common := layer(sampleimage.Layer(seed, size))
	for i := range images {
		own := layer(sampleimage.Layer(seed+uint64(i)+1, 100_000))
		a.images = append(a.images, made[v1.Image](t)(sampleimage.Docker().Image(common, own)))
	}
	for _, image := range a.images {
		must(t, s.push(ctx, namespace+"/app", "v1", image))
	}
	return a
}

// mustBeBack compares all images of the app with what a site has of them in a
// namespace, and their history.
func (a app) mustBeBack(ctx context.Context, t *testing.T, s *site, namespace string) {
	t.Helper()
	from, err := name.NewRepository(s.registry.Host + "/" + namespace + "/app")
	must(t, err)
	var want []digest.Digest
	for _, image := range a.images {
		want = append([]digest.Digest{digestOf(t, image)}, want...)
		if err := compare(from, image, s.options(ctx)); err != nil {
			t.Error(err)
		}
	}
	if now := history(s.stream(ctx, t, namespace, "app"))["v1"]; !slices.Equal(now, want) {
		t.Errorf("%s/app:v1 names %q, want %q", namespace, now, want)
	}
}
