package images

import (
	_ "crypto/sha256" // the digests
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Media types of manifests.
const (
	DockerManifest      = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList          = "application/vnd.docker.distribution.manifest.list.v2+json"
	OCIManifest         = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex            = "application/vnd.oci.image.index.v1+json"
	DockerSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	DockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// MaxManifestSize is the largest manifest that is read, in bytes. Registries
// take no larger ones.
const MaxManifestSize = 4 << 20

// Manifest is a manifest as registries store it.
type Manifest struct {
	MediaType string
	Digest    digest.Digest
	Content   []byte

	// Manifests are those of an index.
	Manifests []Descriptor
	// Blobs are the configuration, unless the manifest is an index or of schema
	// 1, and the layers.
	Blobs []Descriptor
}

// ParseManifest reads a manifest and verifies its digest. mediaType is what the
// registry says it is, "" if only the content tells.
func ParseManifest(content []byte, mediaType string, d digest.Digest) (*Manifest, error) {
	if err := verify(content, d); err != nil {
		return nil, err
	}
	m := &Manifest{Digest: d, Content: content}
	var fields struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []Descriptor `json:"manifests"`
		Config        *Descriptor  `json:"config"`
		Layers        []Descriptor `json:"layers"`
		FSLayers      []struct {
			BlobSum digest.Digest `json:"blobSum"`
		} `json:"fsLayers"`
		Signatures []json.RawMessage `json:"signatures"`
	}
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, fmt.Errorf("manifest %s is not JSON: %w", d, err)
	}
	if fields.SchemaVersion == 1 {
		m.MediaType = DockerSchema1
		if len(fields.Signatures) > 0 {
			m.MediaType = DockerSchema1Signed
		}
		for _, layer := range fields.FSLayers {
			m.Blobs = append(m.Blobs, Descriptor{Digest: layer.BlobSum, Size: unknownSize})
		}
		return m, m.valid()
	}
	switch {
	case fields.MediaType != "":
		m.MediaType = fields.MediaType
	case mediaType != "" && mediaType != "application/json":
		m.MediaType, _, _ = strings.Cut(mediaType, ";")
	case fields.Config != nil:
		m.MediaType = OCIManifest
	default:
		m.MediaType = OCIIndex
	}
	switch m.MediaType {
	case DockerList, OCIIndex:
		m.Manifests = fields.Manifests
	case DockerManifest, OCIManifest:
		if fields.Config == nil {
			return nil, fmt.Errorf("manifest %s names no configuration", d)
		}
		m.Blobs = append([]Descriptor{*fields.Config}, fields.Layers...)
	default:
		return nil, fmt.Errorf("manifest %s is of the unknown media type %q", d, m.MediaType)
	}
	return m, m.valid()
}

// unknownSize is the size of a blob whose manifest does not tell it.
const unknownSize = -1

// verify compares a digest with the content, and with the part of it that was
// signed, which counts for manifests of schema 1.
func verify(content []byte, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	found := d.Algorithm().FromBytes(content)
	if found == d {
		return nil
	}
	if payload, err := schema1Payload(content); err == nil && d.Algorithm().FromBytes(payload) == d {
		return nil
	}
	return fmt.Errorf("manifest %s is damaged: its content has the digest %s", d, found)
}

// valid reports descriptors that cannot be.
func (m *Manifest) valid() error {
	for _, list := range [][]Descriptor{m.Manifests, m.Blobs} {
		for _, d := range list {
			if err := d.Digest.Validate(); err != nil {
				return fmt.Errorf("manifest %s names the digest %q: %w", m.Digest, d.Digest, err)
			}
			if d.Size < 0 && !m.schema1() {
				return fmt.Errorf("manifest %s names %s with a size of %d bytes", m.Digest, d.Digest, d.Size)
			}
		}
	}
	return nil
}

// Foreign reports whether registries need not have the blob, as everybody gets
// it from elsewhere.
func (d Descriptor) Foreign() bool {
	return len(d.URLs) > 0 || strings.Contains(d.MediaType, ".foreign.") || strings.Contains(d.MediaType, ".nondistributable.")
}
