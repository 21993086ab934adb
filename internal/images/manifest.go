package images

import (
	"bytes"
	_ "crypto/sha256" // the digests
	_ "crypto/sha512"
	"encoding/json"
	"errors"
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

	verified []byte // the part of Content that the digest is of
}

// ParseManifest reads a manifest and verifies its digest. mediaType is what the
// registry says it is, "" if only the content tells.
//
// The digest of a signed manifest of schema 1 is that of the part which was
// signed. Such a manifest is taken only if the registry says that it is of schema
// 1, and nothing but the signed part is read: whoever writes the rest could make
// any content pass under any digest.
func ParseManifest(content []byte, mediaType string, d digest.Digest) (*Manifest, error) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	verified, signed, err := verify(content, mediaType, d)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Digest: d, Content: content, verified: verified}
	var fields struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Manifests     list[Descriptor] `json:"manifests"`
		Config        *Descriptor      `json:"config"`
		Layers        list[Descriptor] `json:"layers"`
		FSLayers      list[struct {
			BlobSum digest.Digest `json:"blobSum"`
		}] `json:"fsLayers"`
		Signatures json.RawMessage `json:"signatures"`
	}
	if err := json.Unmarshal(verified, &fields); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, fmt.Errorf("manifest %s is not JSON: %w", d, err)
		}
		return nil, fmt.Errorf("manifest %s cannot be read: %w", d, err)
	}
	if fields.SchemaVersion == 1 {
		m.MediaType = DockerSchema1
		if signed || len(fields.Signatures) > 0 {
			m.MediaType = DockerSchema1Signed
		}
		for _, layer := range fields.FSLayers {
			m.Blobs = append(m.Blobs, Descriptor{Digest: layer.BlobSum, Size: unknownSize})
		}
		return m, m.valid()
	}
	if signed {
		return nil, fmt.Errorf("manifest %s has a signature, as only manifests of schema 1 do, but is not of schema 1", d)
	}
	switch {
	case fields.MediaType != "":
		m.MediaType = fields.MediaType
	case mediaType != "" && mediaType != untold:
		m.MediaType = mediaType
	case fields.Config != nil:
		m.MediaType = OCIManifest
	default:
		m.MediaType = OCIIndex
	}
	if len(fields.Manifests) > 0 && (fields.Config != nil || len(fields.Layers) > 0) {
		return nil, fmt.Errorf("manifest %s is an index and an image at once, so that others may read it differently", d)
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
		return nil, fmt.Errorf("manifest %s is of the unknown media type %.100q", d, m.MediaType)
	}
	return m, m.valid()
}

// untold is the media type that old registries send with manifests of any kind.
const untold = "application/json"

// unknownSize is the size of a blob whose manifest does not tell it.
const unknownSize = -1

// verify returns the part of a manifest that its digest is of: the whole, or
// where schema 1 is expected the part that was signed.
func verify(content []byte, mediaType string, d digest.Digest) (verified []byte, signed bool, err error) {
	if err := d.Validate(); err != nil {
		return nil, false, fmt.Errorf("digest %.100q: %w", d, err)
	}
	found := d.Algorithm().FromBytes(content)
	if found == d {
		return content, false, nil
	}
	switch mediaType {
	case DockerSchema1Signed, DockerSchema1, untold:
		if payload, err := schema1Payload(content); err == nil && d.Algorithm().FromBytes(payload) == d {
			return payload, true, nil
		}
	}
	return nil, false, fmt.Errorf("%w: manifest %s has content with the digest %s", ErrDamaged, d, found)
}

// ErrDamaged reports a manifest or blob whose content does not have its digest or
// its size.
var ErrDamaged = errors.New("it is damaged")

// Verified returns the part of Content that the digest is of: all of it, unless
// the manifest is a signed one of schema 1.
func (m *Manifest) Verified() []byte { return m.verified }

// maxListed is how many elements of a list in a manifest are read.
const maxListed = 10_000

// list is an array of a manifest. It refuses more than maxListed elements before
// they are decoded, as "{}," takes three bytes of a manifest and a hundred in
// memory.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(content []byte) error {
	*l = nil
	decoder := json.NewDecoder(bytes.NewReader(content))
	start, err := decoder.Token()
	if err != nil || start == nil {
		return err
	}
	if start != json.Delim('[') {
		return errors.New("a list is expected and something else is there")
	}
	for decoder.More() {
		if len(*l) == maxListed {
			return fmt.Errorf("a list has more than %d elements", maxListed)
		}
		var element T
		if err := decoder.Decode(&element); err != nil {
			return err
		}
		*l = append(*l, element)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler. Of the URLs it keeps the first: that
// there is one is all that matters here.
func (d *Descriptor) UnmarshalJSON(content []byte) error {
	var fields struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
		URLs      list[string]  `json:"urls"`
	}
	if err := json.Unmarshal(content, &fields); err != nil {
		return err
	}
	*d = Descriptor{MediaType: fields.MediaType, Digest: fields.Digest, Size: fields.Size}
	if len(fields.URLs) > 0 {
		d.URLs = []string{fields.URLs[0]}
	}
	return nil
}

// valid reports descriptors that cannot be.
func (m *Manifest) valid() error {
	for _, list := range [][]Descriptor{m.Manifests, m.Blobs} {
		for _, d := range list {
			if err := d.Digest.Validate(); err != nil {
				return fmt.Errorf("manifest %s names the digest %.100q: %w", m.Digest, d.Digest, err)
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

// maxBrief is the size of the largest manifest that results keep, in bytes. A
// backup keeps the result of each of its images to its end.
const maxBrief = 8 << 10

// brief returns the manifest for a result: as it is if it is small, else its
// digest and media type alone.
func (m *Manifest) brief() *Manifest {
	if len(m.Content) <= maxBrief {
		return m
	}
	return &Manifest{MediaType: m.MediaType, Digest: m.Digest}
}
