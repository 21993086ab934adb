package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The images of the workload. The shared layers are the lower ones, as those of
// a base image are.
const (
	images       = 20
	layers       = 8
	sharedLayers = layers / 2
	uniqueLayers = sharedLayers + images*(layers-sharedLayers)
	layerSize    = 8 << 20 // bytes
)

// newImage makes the image of that number.
func newImage(number int) (v1.Image, error) {
	var all []v1.Layer
	for i := range layers {
		l := layer{seed: uint64(i)}
		if i >= sharedLayers {
			l.seed = uint64(layers*(number+1) + i)
		}
		var err error
		if l.digest, _, err = v1.SHA256(l.content()); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return mutate.AppendLayers(empty.Image, all...)
}

// layer is random bytes, which are made anew each time that they are read.
type layer struct {
	seed   uint64
	digest v1.Hash
}

func (l layer) content() io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.seed)
	return io.LimitReader(rand.NewChaCha8(seed), layerSize)
}

func (l layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l layer) Compressed() (io.ReadCloser, error)   { return io.NopCloser(l.content()), nil }
func (l layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }
func (l layer) Size() (int64, error)                 { return layerSize, nil }
func (l layer) MediaType() (types.MediaType, error)  { return types.DockerLayer, nil }
