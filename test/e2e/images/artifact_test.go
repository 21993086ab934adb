package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// artifact is an image, or an index of images.
type artifact interface {
	RawManifest() ([]byte, error)
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) digest.Digest {
	t.Helper()
	d, err := of.Digest()
	must(t, err)
	return digest.Digest(d.String())
}

// schema1 is an image of the oldest format with its layers, the lowest first.
type schema1 struct {
	sampleimage.Schema1
	layers []v1.Layer
}

func (s schema1) RawManifest() ([]byte, error)      { return s.Content, nil }
func (schema1) MediaType() (types.MediaType, error) { return types.DockerManifestSchema1Signed, nil }
func (s schema1) Digest() (v1.Hash, error)          { return v1.NewHash(s.Schema1.Digest.String()) }

// made returns what a function makes that must not fail.
func made[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		must(t, err)
		return value
	}
}

// push puts an artifact into a repository of a site, under a tag unless that is
// "".
func (s *site) push(ctx context.Context, repository, tag string, a artifact) error {
	return push(s.registry.Host+"/"+repository, tag, a, s.options(ctx))
}

func push(repository, tag string, a artifact, options []remote.Option) error {
	to, err := name.NewRepository(repository)
	if err != nil {
		return err
	}
	if tag != "" {
		return remote.Push(to.Tag(tag), a, options...)
	}
	d, err := a.Digest()
	if err != nil {
		return err
	}
	return remote.Push(to.Digest(d.String()), a, options...)
}

// pushSchema1 gives an image stream an image that registries take no more.
func (s *site) pushSchema1(ctx context.Context, repository, tag string, a schema1) error {
	to, err := name.NewRepository(s.registry.Host + "/" + repository)
	if err != nil {
		return err
	}
	for _, layer := range a.layers {
		if err := remote.WriteLayer(to, layer, s.options(ctx)...); err != nil {
			return err
		}
	}
	return s.registry.ServeSchema1(ctx, repository, tag, a.Schema1)
}

// compare pulls an artifact by its digest and compares every byte.
func compare(from name.Repository, a artifact, options []remote.Option) error {
	d, err := a.Digest()
	if err != nil {
		return err
	}
	want, err := a.RawManifest()
	if err != nil {
		return err
	}
	mediaType, err := a.MediaType()
	if err != nil {
		return err
	}
	found, err := remote.Get(from.Digest(d.String()), options...)
	if err != nil {
		return err
	}
	if !bytes.Equal(found.Manifest, want) || found.MediaType != mediaType {
		return fmt.Errorf("manifest %s@%s is another one, of type %s", from, d, found.MediaType)
	}
	if index, ok := a.(v1.ImageIndex); ok {
		return compareChildren(from, index, options)
	}
	return compareBlobs(from, a.(v1.Image), options)
}

func compareChildren(from name.Repository, index v1.ImageIndex, options []remote.Option) error {
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, child := range m.Manifests {
		image, err := index.Image(child.Digest)
		if err != nil {
			return err
		}
		if err := compare(from, image, options); err != nil {
			return err
		}
	}
	return nil
}

func compareBlobs(from name.Repository, image v1.Image, options []remote.Option) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(image)
	if err != nil {
		return err
	}
	for _, layer := range append(layers, config) {
		if err := compareBlob(from, layer, options); err != nil {
			return err
		}
	}
	return nil
}

// compareBlob leaves out layers that no registry has.
func compareBlob(from name.Repository, layer v1.Layer, options []remote.Option) error {
	d, err := partial.Descriptor(layer)
	if err != nil {
		return err
	}
	if len(d.URLs) > 0 {
		return nil
	}
	found, err := remote.Layer(from.Digest(d.Digest.String()), options...)
	if err != nil {
		return err
	}
	want, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer want.Close()
	got, err := found.Compressed()
	if err != nil {
		return fmt.Errorf("%s@%s: %w", from, d.Digest, err)
	}
	defer got.Close()
	if err := compareContent(got, want); err != nil {
		return fmt.Errorf("%s@%s: %w", from, d.Digest, err)
	}
	return nil
}

// compareContent keeps no more than a piece of either in memory.
func compareContent(got, want io.Reader) error {
	const piece = 64 << 10
	left, right := make([]byte, piece), make([]byte, piece)
	for at := 0; ; at += piece {
		n, err := io.ReadFull(got, left)
		m, wantErr := io.ReadFull(want, right)
		switch {
		case !isEnd(err), !isEnd(wantErr):
			return errors.Join(err, wantErr)
		case !bytes.Equal(left[:n], right[:m]):
			return fmt.Errorf("the %d bytes at %d are not the %d of the original", n, at, m)
		case m < piece:
			return nil
		}
	}
}

// isEnd reports whether a piece was read, or what is left.
func isEnd(err error) bool { return err == nil || err == io.EOF || err == io.ErrUnexpectedEOF }
