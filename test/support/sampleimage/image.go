package sampleimage

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Format is the kind of manifests.
type Format struct{ image, config, index types.MediaType }

// Docker is the format of docker push.
func Docker() Format {
	return Format{types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerManifestList}
}

// OCI is the format of the Open Container Initiative.
func OCI() Format { return Format{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCIImageIndex} }

// Image makes an image for linux/amd64 with these layers.
func (f Format) Image(layers ...v1.Layer) (v1.Image, error) {
	return f.imageFor("amd64", layers...)
}

func (f Format) imageFor(architecture string, layers ...v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, f.image), f.config)
	image, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", architecture
	return mutate.ConfigFile(image, config)
}

// Index makes an index of images for amd64, arm64, ppc64le and s390x, each with
// these layers and one of its own, which has size bytes.
func (f Format) Index(seed uint64, size int64, layers ...v1.Layer) (v1.ImageIndex, error) {
	var entries []mutate.IndexAddendum
	for i, architecture := range []string{"amd64", "arm64", "ppc64le", "s390x"} {
		own, err := Layer(seed+uint64(i), size)
		if err != nil {
			return nil, err
		}
		image, err := f.imageFor(architecture, append(layers[:len(layers):len(layers)], own)...)
		if err != nil {
			return nil, err
		}
		entries = append(entries, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, f.index), entries...), nil
}

// Attested makes an OCI index of an image and what attests it, as BuildKit does.
func Attested(image v1.Image) (v1.ImageIndex, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"digest":{%q:%q}}]}`, digest.Algorithm, digest.Hex)
	attestation, err := OCI().imageFor("unknown", static.NewLayer([]byte(statement), "application/vnd.in-toto+json"))
	if err != nil {
		return nil, err
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
		},
		mutate.IndexAddendum{
			Add: attestation,
			Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{
					"vnd.docker.reference.type":   "attestation-manifest",
					"vnd.docker.reference.digest": digest.String(),
				},
			},
		}), nil
}
