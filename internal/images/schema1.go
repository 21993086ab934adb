package images

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Manifests of schema 1 have no configuration of their own and name no sizes,
// and current registries refuse them. They are the only ones that are not kept
// byte for byte: the same image gets a manifest of schema 2. The same schema 1
// manifest always becomes the same one of schema 2.

// Conversions remembers which images were converted. A Target that can do so
// implements it; without it an image is converted anew each time.
type Conversions interface {
	// Converted returns the digest that an image is said to have after its
	// conversion; the caller must verify it with [Manifest.ConvertsTo]. The error
	// for an image of which nothing is said is fs.ErrNotExist.
	Converted(ctx context.Context, d digest.Digest) (digest.Digest, error)
	// SetConverted records what an image was converted to.
	SetConverted(ctx context.Context, from *Manifest, to digest.Digest) error
	// Blob reads a blob of the target, as Source does.
	Blob(ctx context.Context, repository string, b Descriptor) (io.ReadCloser, error)
}

// schema1 reports whether the manifest is of schema 1.
func (m *Manifest) schema1() bool {
	return m.MediaType == DockerSchema1 || m.MediaType == DockerSchema1Signed
}

// schema1Payload returns what the digest of a schema 1 manifest is made of: the
// content as it was before it was signed.
func schema1Payload(content []byte) ([]byte, error) {
	var signed struct {
		Signatures list[struct{ Protected string }]
	}
	if err := json.Unmarshal(content, &signed); err != nil {
		return nil, err
	}
	if len(signed.Signatures) == 0 {
		return content, nil
	}
	header, err := base64.RawURLEncoding.DecodeString(signed.Signatures[0].Protected)
	if err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	var format struct {
		Length int    `json:"formatLength"`
		Tail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(header, &format); err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	tail, err := base64.RawURLEncoding.DecodeString(format.Tail)
	if err != nil || format.Length < 0 || format.Length > len(content) {
		return nil, errors.New("its signature does not say what is signed")
	}
	return append(content[:format.Length:format.Length], tail...), nil
}

// convert replaces an image of schema 1; it leaves others alone.
func (g *graph) convert(ctx context.Context) error {
	old := g.root()
	if !old.schema1() {
		return nil
	}
	m, config, err := g.earlierConversion(ctx, old)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			g.copier.log.Warn("an earlier conversion of an image of schema 1 cannot be used, and the image is converted again",
				"digest", old.Digest.String(), "error", err.Error())
		}
		if m, config, err = g.convertNow(ctx, old); err != nil {
			return fmt.Errorf("converting image %s of schema 1: %w", old.Digest, err)
		}
	}
	g.manifests, g.blobs, g.config = []*Manifest{m}, m.Blobs, config
	return nil
}

// earlierConversion returns the manifest and the configuration that an earlier
// copy has made of an image. Whoever writes to the target can say of any image
// that it is the conversion of another one, so the content has to prove it.
func (g *graph) earlierConversion(ctx context.Context, old *Manifest) (*Manifest, []byte, error) {
	known, ok := g.copier.to.(Conversions)
	if !ok {
		return nil, nil, fs.ErrNotExist
	}
	d, err := known.Converted(ctx, old.Digest)
	if err != nil {
		return nil, nil, err
	}
	repository := g.image.Repositories[0]
	m, err := g.copier.to.Manifest(ctx, repository, d)
	if err != nil {
		return nil, nil, err
	}
	config, err := ReadConfig(m, func(b Descriptor) (io.ReadCloser, error) { return known.Blob(ctx, repository, b) })
	if err != nil {
		return nil, nil, err
	}
	return m, config, old.ConvertsTo(m, config)
}

// maxConfigSize is the size of the largest configuration that is read, in bytes.
// That of a converted image has little that the old manifest did not have.
const maxConfigSize = 2 * MaxManifestSize

// ReadConfig reads the configuration of an image and verifies its digest.
func ReadConfig(m *Manifest, open func(Descriptor) (io.ReadCloser, error)) ([]byte, error) {
	if len(m.Blobs) == 0 {
		return nil, fmt.Errorf("manifest %s has no configuration", m.Digest)
	}
	b := m.Blobs[0]
	body, err := open(b)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(body, maxConfigSize+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	if len(content) > maxConfigSize {
		return nil, fmt.Errorf("configuration %s has more than %d MiB", b.Digest, maxConfigSize>>20)
	}
	if found := b.Digest.Algorithm().FromBytes(content); found != b.Digest {
		return nil, fmt.Errorf("%w: configuration %s has content with the digest %s", ErrDamaged, b.Digest, found)
	}
	return content, nil
}

// ConvertsTo returns an error unless m, with that configuration, is what the
// conversion of this manifest of schema 1 makes. Two things cannot be told without
// the layers: their sizes, and their digests before compression. Whoever pulls the
// image verifies both.
func (m *Manifest) ConvertsTo(to *Manifest, config []byte) error {
	if !m.schema1() {
		return fmt.Errorf("image %s is not of schema 1", m.Digest)
	}
	steps, layers, newest, err := m.schema1Steps()
	if err != nil {
		return err
	}
	var claimed struct {
		RootFS struct {
			DiffIDs list[digest.Digest] `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &claimed); err != nil {
		return fmt.Errorf("the configuration of image %s: %w", to.Digest, err)
	}
	diffIDs := claimed.RootFS.DiffIDs
	different := fmt.Errorf("image %s is not the conversion of image %s", to.Digest, m.Digest)
	if len(to.Blobs) != len(layers)+1 || len(diffIDs) != len(layers) {
		return different
	}
	measured := make([]measuredLayer, len(layers))
	for i, d := range layers {
		if diffIDs[i].Validate() != nil {
			return different
		}
		measured[i] = measuredLayer{Descriptor{MediaType: dockerLayer, Digest: d, Size: to.Blobs[i+1].Size}, diffIDs[i]}
	}
	expectedConfig, err := schema2Config(newest, steps, measured)
	if err != nil {
		return err
	}
	expected, err := schema2Manifest(expectedConfig, measured)
	if err != nil {
		return err
	}
	if expected.Digest != to.Digest {
		return different
	}
	return nil
}

// remember records that the image was converted, with what proves it.
func (g *graph) remember(ctx context.Context, old *Manifest) error {
	known, ok := g.copier.to.(Conversions)
	if !ok || g.config == nil {
		return nil
	}
	return known.SetConverted(ctx, old, g.root().Digest)
}

// schema1Image is what a manifest of schema 1 says. Both lists begin with the
// newest layer.
type schema1Image struct {
	FSLayers list[struct {
		BlobSum digest.Digest `json:"blobSum"`
	}] `json:"fsLayers"`
	History list[struct {
		V1Compatibility string `json:"v1Compatibility"`
	}] `json:"history"`
}

// schema1Layer is what a layer's part of the history says.
type schema1Layer struct {
	Created         json.RawMessage `json:"created"`
	Author          string          `json:"author"`
	Comment         string          `json:"comment"`
	Throwaway       bool            `json:"throwaway"` // has no files, only a change of the configuration
	ContainerConfig struct {
		Cmd []string
	} `json:"container_config"`
}

// historyEntry is a step of the configuration's history.
type historyEntry struct {
	Created    json.RawMessage `json:"created,omitempty"`
	Author     string          `json:"author,omitempty"`
	CreatedBy  string          `json:"created_by,omitempty"`
	Comment    string          `json:"comment,omitempty"`
	EmptyLayer bool            `json:"empty_layer,omitempty"`
}

// Media types of what a converted image consists of.
const (
	dockerConfig = "application/vnd.docker.container.image.v1+json"
	dockerLayer  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// schema1Steps returns the history of an image of schema 1 and those of its layers
// that have files, both from the oldest on, and the configuration that is with the
// newest layer.
func (m *Manifest) schema1Steps() (history []historyEntry, layers []digest.Digest, newest []byte, err error) {
	var image schema1Image
	if err := json.Unmarshal(m.verified, &image); err != nil {
		return nil, nil, nil, err
	}
	if len(image.History) == 0 || len(image.History) != len(image.FSLayers) {
		return nil, nil, nil, fmt.Errorf("it has %d layers and a history of %d", len(image.FSLayers), len(image.History))
	}
	for i := len(image.History) - 1; i >= 0; i-- {
		var step schema1Layer
		if err := json.Unmarshal([]byte(image.History[i].V1Compatibility), &step); err != nil {
			return nil, nil, nil, fmt.Errorf("its history: %w", err)
		}
		history = append(history, historyEntry{
			step.Created, step.Author, strings.Join(step.ContainerConfig.Cmd, " "), step.Comment, step.Throwaway,
		})
		if !step.Throwaway {
			layers = append(layers, image.FSLayers[i].BlobSum)
		}
	}
	return history, layers, []byte(image.History[0].V1Compatibility), nil
}

// convertNow returns the manifest of schema 2 of an image, and its configuration.
func (g *graph) convertNow(ctx context.Context, old *Manifest) (*Manifest, []byte, error) {
	history, layers, newest, err := old.schema1Steps()
	if err != nil {
		return nil, nil, err
	}
	measured, err := g.measure(ctx, layers)
	if err != nil {
		return nil, nil, err
	}
	config, err := schema2Config(newest, history, measured)
	if err != nil {
		return nil, nil, err
	}
	m, err := schema2Manifest(config, measured)
	return m, config, err
}

// measuredLayer is a layer with what schema 1 does not tell of it.
type measuredLayer struct {
	Descriptor
	diffID digest.Digest // of the layer without compression
}

// measure reads the layers.
func (g *graph) measure(ctx context.Context, layers []digest.Digest) ([]measuredLayer, error) {
	measured := make([]measuredLayer, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(g.copier.blobs)
	for i, layer := range layers {
		group.Go(func() (err error) {
			if measured[i], err = g.measureLayer(ctx, layer); err != nil {
				return fmt.Errorf("layer %s: %w", layer, err)
			}
			return nil
		})
	}
	return measured, group.Wait()
}

func (g *graph) measureLayer(ctx context.Context, layer digest.Digest) (measuredLayer, error) {
	body, err := g.open(ctx, Descriptor{Digest: layer, Size: unknownSize})
	if err != nil {
		return measuredLayer{}, err
	}
	defer body.Close()
	packed := &counter{from: body}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return measuredLayer{}, err
	}
	diffID, err := digest.FromReader(&unpacker{from: unpacked, packed: packed, began: time.Now()})
	if err == nil {
		_, err = io.Copy(io.Discard, packed) // what follows the archive
	}
	if err != nil {
		return measuredLayer{}, err
	}
	return measuredLayer{Descriptor{MediaType: dockerLayer, Digest: layer, Size: packed.bytes}, diffID}, nil
}

// Limits of a layer that is unpacked to be measured. Some files, such as sparse
// ones, become a thousandth of their size, so the ratio counts for large layers
// only.
const (
	freelyUnpacked = 1 << 30 // bytes that any layer may have unpacked
	maxRatio       = 100     // of larger ones, between unpacked and packed
	maxUnpacked    = 64 << 30
	maxUnpackTime  = 15 * time.Minute // without the time of reading the layer
)

// unpacker passes an unpacked layer on and ends with an error when that takes too
// much.
type unpacker struct {
	from   io.Reader
	packed *counter
	began  time.Time
	bytes  int64
}

// Read implements io.Reader.
func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	u.bytes += int64(n)
	switch {
	case u.bytes > maxUnpacked,
		u.bytes > freelyUnpacked && u.bytes/maxRatio > u.packed.bytes:
		return n, fmt.Errorf("it has %d bytes packed and %d unpacked so far, which is refused as an attack", u.packed.bytes, u.bytes)
	case time.Since(u.began)-u.packed.waited > maxUnpackTime:
		return n, fmt.Errorf("it takes more than %s to unpack", maxUnpackTime)
	}
	return n, err
}

// counter counts the bytes that are read and the time that this takes.
type counter struct {
	from   io.Reader
	bytes  int64
	waited time.Duration
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := c.from.Read(p)
	c.waited += time.Since(began)
	c.bytes += int64(n)
	return n, err
}

// schema2Config returns the configuration of an image: what the newest layer
// says, without that which is about the layer itself.
func schema2Config(newest []byte, history []historyEntry, layers []measuredLayer) ([]byte, error) {
	var config map[string]any
	decoder := json.NewDecoder(bytes.NewReader(newest))
	decoder.UseNumber()
	if err := decoder.Decode(&config); err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("its newest layer has no configuration")
	}
	for _, name := range []string{"id", "parent", "Size", "parent_id", "layer_id", "throwaway"} {
		delete(config, name)
	}
	diffIDs := make([]digest.Digest, len(layers))
	for i, layer := range layers {
		diffIDs[i] = layer.diffID
	}
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	config["history"] = history
	return json.Marshal(config)
}

func schema2Manifest(config []byte, layers []measuredLayer) (*Manifest, error) {
	manifest := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        Descriptor   `json:"config"`
		Layers        []Descriptor `json:"layers"`
	}{
		SchemaVersion: 2,
		MediaType:     DockerManifest,
		Config:        Descriptor{MediaType: dockerConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
		Layers:        make([]Descriptor, len(layers)),
	}
	for i, layer := range layers {
		manifest.Layers[i] = layer.Descriptor
	}
	content, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	return ParseManifest(content, DockerManifest, digest.FromBytes(content))
}
