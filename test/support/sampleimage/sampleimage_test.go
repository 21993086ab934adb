package sampleimage_test

import (
	"io"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// The same arguments make the same layer, and others another one.
func TestLayersFollowFromTheirSeeds(t *testing.T) {
	digest := digestOf(t, must(sampleimage.Layer(1, 1000)))
	if again := digestOf(t, must(sampleimage.Layer(1, 1000))); again != digest {
		t.Errorf("%s is then %s", digest, again)
	}
	for _, other := range []v1.Layer{
		must(sampleimage.Layer(2, 1000)), must(sampleimage.Layer(1, 1001)), must(sampleimage.ZstdLayer(1, 1000)),
	} {
		if digestOf(t, other) == digest {
			t.Error("layers that should differ are the same")
		}
	}
}

func TestLayersAreWhatTheySay(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 513, 100_000} {
		for _, layer := range []v1.Layer{must(sampleimage.Layer(1, size)), must(sampleimage.ZstdLayer(1, size))} {
			digest, n, err := v1.SHA256(must(layer.Compressed()))
			if err != nil || digest != digestOf(t, layer) || n != must(layer.Size()) {
				t.Errorf("%d bytes: the layer is %s, %d bytes, %v", size, digest, n, err)
			}
			if digest, n, err = v1.SHA256(must(layer.Uncompressed())); err != nil || digest != must(layer.DiffID()) || n < size {
				t.Errorf("%d bytes: the content is %s, %d bytes, %v", size, digest, n, err)
			}
		}
	}
}

// A layer is not held in memory, nor in a file.
func TestLargeLayersAreNotHeld(t *testing.T) {
	const size = 64 << 20
	layer := must(sampleimage.Layer(1, size))
	content, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if _, err := io.CopyN(io.Discard, content, size); err != nil {
		t.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	if memory.HeapAlloc > 16<<20 {
		t.Errorf("%d bytes are held", memory.HeapAlloc)
	}
	runtime.KeepAlive(layer)
}

func TestIndexes(t *testing.T) {
	shared := must(sampleimage.Layer(1, 1000))
	for _, format := range []sampleimage.Format{sampleimage.Docker(), sampleimage.OCI()} {
		index := must(format.Index(7, 1000, shared))
		manifest := must(index.IndexManifest())
		for _, entry := range manifest.Manifests {
			image := must(index.Image(entry.Digest))
			config := must(image.ConfigFile())
			layers := must(image.Layers())
			if config.Architecture != entry.Platform.Architecture || len(layers) != 2 || digestOf(t, layers[0]) != digestOf(t, shared) {
				t.Errorf("image for %s with %d layers is listed for %s", config.Architecture, len(layers), entry.Platform)
			}
		}
		if len(manifest.Manifests) != 4 {
			t.Errorf("%d images", len(manifest.Manifests))
		}
	}
}

func TestAttestedImages(t *testing.T) {
	shared := must(sampleimage.Layer(1, 1000))
	attested := must(sampleimage.Attested(must(sampleimage.OCI().Image(shared))))
	manifest := must(attested.IndexManifest())
	if entry := manifest.Manifests[1]; entry.Platform.OS != "unknown" || entry.Annotations["vnd.docker.reference.digest"] != manifest.Manifests[0].Digest.String() {
		t.Errorf("attestation %+v", entry)
	}
}

func TestForeignLayersHaveURLs(t *testing.T) {
	const url = "https://example.com/layer"
	image := must(sampleimage.Docker().Image(must(sampleimage.Layer(1, 10)), must(sampleimage.ForeignLayer(2, 10, url))))
	layers := must(image.Manifest()).Layers
	if layers[0].URLs != nil || layers[1].MediaType != types.DockerForeignLayer || len(layers[1].URLs) != 1 || layers[1].URLs[0] != url {
		t.Errorf("layers %+v", layers)
	}
}

// The manifest is what parsers take for one of schema 1, under its own digest.
func TestSchema1(t *testing.T) {
	layers := []v1.Layer{must(sampleimage.Layer(1, 10)), must(sampleimage.Layer(2, 10))}
	image := must(sampleimage.NewSchema1("ns/app", "old", layers...))
	parsed, err := images.ParseManifest(image.Content, images.DockerSchema1Signed, image.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.MediaType != images.DockerSchema1Signed || len(parsed.Blobs) != 2 || parsed.Blobs[1].Digest.String() != digestOf(t, layers[0]).String() {
		t.Errorf("manifest %+v", parsed)
	}
}

func digestOf(t *testing.T, layer v1.Layer) v1.Hash {
	t.Helper()
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
