// Package sampleimage makes container images for tests. Their content is random
// and follows from seeds: equal arguments make equal images, and images share
// the layers that have the same seed and size.
package sampleimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math/rand/v2"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layer makes a layer of one file of size bytes. It is a little larger itself:
// its content does not compress. It is generated each time that it is read and kept
// neither in memory nor in a file, so it may have any size. The digests take two
// readings.
func Layer(seed uint64, size int64) (v1.Layer, error) {
	return layer(seed, size, types.DockerLayer)
}

// ZstdLayer is a Layer that is compressed with zstd, for OCI images.
func ZstdLayer(seed uint64, size int64) (v1.Layer, error) {
	return layer(seed, size, types.OCILayerZStd, tarball.WithCompression(compression.ZStd))
}

// ForeignLayer is a Layer that images fetch from a URL. It is not pushed.
func ForeignLayer(seed uint64, size int64, url string) (v1.Layer, error) {
	content, err := layer(seed, size, types.DockerForeignLayer)
	return foreign{content, url}, err
}

func layer(seed uint64, size int64, mediaType types.MediaType, options ...tarball.LayerOption) (v1.Layer, error) {
	open := func() (io.ReadCloser, error) {
		content, err := archive(seed, size)
		return io.NopCloser(content), err
	}
	options = append([]tarball.LayerOption{tarball.WithMediaType(mediaType), tarball.WithCompressionLevel(gzip.NoCompression)}, options...)
	return tarball.LayerFromOpener(open, options...)
}

// archive is a tar archive of one file.
func archive(seed uint64, size int64) (io.Reader, error) {
	var header bytes.Buffer
	file := &tar.Header{Name: "content", Mode: 0o644, Size: size}
	if err := tar.NewWriter(&header).WriteHeader(file); err != nil {
		return nil, err
	}
	const block = 512
	end := make([]byte, (block-size%block)%block+2*block)
	return io.MultiReader(&header, io.LimitReader(random(seed), size), bytes.NewReader(end)), nil
}

// random never ends.
func random(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// foreign is a layer with a URL.
type foreign struct {
	v1.Layer
	url string
}

func (f foreign) Descriptor() (*v1.Descriptor, error) {
	descriptor, err := partial.Descriptor(f.Layer)
	if err != nil {
		return nil, err
	}
	descriptor.URLs = []string{f.url}
	return descriptor, nil
}
