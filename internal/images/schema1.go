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
	"strings"

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
	// Converted returns the digest that an image has after its conversion. The
	// error for an image that has none is fs.ErrNotExist.
	Converted(ctx context.Context, d digest.Digest) (digest.Digest, error)
	// SetConverted records it.
	SetConverted(ctx context.Context, from, to digest.Digest) error
}

// schema1 reports whether the manifest is of schema 1.
func (m *Manifest) schema1() bool {
	return m.MediaType == DockerSchema1 || m.MediaType == DockerSchema1Signed
}

// schema1Payload returns what the digest of a schema 1 manifest is made of: the
// content as it was before it was signed.
func schema1Payload(content []byte) ([]byte, error) {
	var signed struct {
		Signatures []struct{ Protected string }
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
	if known, ok := g.copier.to.(Conversions); ok {
		if d, err := known.Converted(ctx, old.Digest); err == nil && g.replace(ctx, d) {
			return nil
		}
	}
	m, config, err := g.converted(ctx, old)
	if err != nil {
		return fmt.Errorf("converting image %s of schema 1: %w", old.Digest, err)
	}
	g.manifests, g.blobs, g.config = []*Manifest{m}, m.Blobs, config
	return nil
}

// replace makes the graph that of another image, if the target has that.
func (g *graph) replace(ctx context.Context, d digest.Digest) bool {
	other := &graph{copier: g.copier, image: g.image, seen: map[digest.Digest]bool{}}
	if err := other.load(ctx, Descriptor{Digest: d}); err != nil {
		return false
	}
	*g = *other
	return true
}

// remember records that the image was converted, if it was so now.
func (g *graph) remember(ctx context.Context) error {
	known, ok := g.copier.to.(Conversions)
	if !ok || g.config == nil {
		return nil
	}
	return known.SetConverted(ctx, g.image.Digest, g.root().Digest)
}

// schema1Image is what a manifest of schema 1 says. Both lists begin with the
// newest layer.
type schema1Image struct {
	FSLayers []struct {
		BlobSum digest.Digest `json:"blobSum"`
	} `json:"fsLayers"`
	History []struct {
		V1Compatibility string `json:"v1Compatibility"`
	} `json:"history"`
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

// converted returns the manifest of schema 2 of an image, and its configuration.
func (g *graph) converted(ctx context.Context, old *Manifest) (*Manifest, []byte, error) {
	var image schema1Image
	if err := json.Unmarshal(old.Content, &image); err != nil {
		return nil, nil, err
	}
	if len(image.History) == 0 || len(image.History) != len(image.FSLayers) {
		return nil, nil, fmt.Errorf("it has %d layers and a history of %d", len(image.FSLayers), len(image.History))
	}
	var history []historyEntry
	var layers []digest.Digest
	for i := len(image.History) - 1; i >= 0; i-- {
		var step schema1Layer
		if err := json.Unmarshal([]byte(image.History[i].V1Compatibility), &step); err != nil {
			return nil, nil, fmt.Errorf("its history: %w", err)
		}
		history = append(history, historyEntry{
			step.Created, step.Author, strings.Join(step.ContainerConfig.Cmd, " "), step.Comment, step.Throwaway,
		})
		if !step.Throwaway {
			layers = append(layers, image.FSLayers[i].BlobSum)
		}
	}
	measured, err := g.measure(ctx, layers)
	if err != nil {
		return nil, nil, err
	}
	config, err := schema2Config([]byte(image.History[0].V1Compatibility), history, measured)
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
			measured[i], err = g.measureLayer(ctx, layer)
			return err
		})
	}
	return measured, group.Wait()
}

func (g *graph) measureLayer(ctx context.Context, layer digest.Digest) (measuredLayer, error) {
	body, err := g.open(ctx, Descriptor{Digest: layer, Size: unknownSize})
	if err != nil {
		return measuredLayer{}, fmt.Errorf("layer %s: %w", layer, err)
	}
	defer body.Close()
	counted := &counter{from: body}
	unpacked, err := gzip.NewReader(counted)
	if err != nil {
		return measuredLayer{}, fmt.Errorf("layer %s: %w", layer, err)
	}
	diffID, err := digest.FromReader(unpacked)
	if err == nil {
		_, err = io.Copy(io.Discard, counted) // what follows the archive
	}
	if err != nil {
		return measuredLayer{}, fmt.Errorf("layer %s: %w", layer, err)
	}
	return measuredLayer{Descriptor{MediaType: dockerLayer, Digest: layer, Size: counted.bytes}, diffID}, nil
}

// counter counts what is read.
type counter struct {
	from  io.Reader
	bytes int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
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
