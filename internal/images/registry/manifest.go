package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// manifestTypes are the media types that a registry may answer with.
var manifestTypes = strings.Join([]string{
	images.DockerManifest, images.DockerList, images.OCIManifest, images.OCIIndex,
	images.DockerSchema1Signed, images.DockerSchema1,
}, ", ")

// Manifest implements images.Source and images.Target.
func (c *Client) Manifest(ctx context.Context, repository string, d digest.Digest) (m *images.Manifest, err error) {
	err = c.attempt(ctx, c.what("reading manifest", d.String(), "of", repository), func() error {
		m, err = c.manifest(ctx, repository, d)
		return err
	})
	return m, err
}

func (c *Client) manifest(ctx context.Context, repository string, d digest.Digest) (*images.Manifest, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(repository, "manifests", d.String()).String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", manifestTypes)
	resp, err := c.send(r, repository, http.StatusOK)
	if err != nil {
		return nil, absent(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, images.MaxManifestSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > images.MaxManifestSize {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errDamaged, images.MaxManifestSize)
	}
	m, err := images.ParseManifest(content, resp.Header.Get("Content-Type"), d)
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, images.ErrDamaged):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errUnsupported, err)
}

// PutManifest implements images.Target.
func (c *Client) PutManifest(ctx context.Context, repository string, m *images.Manifest) error {
	return c.putManifest(ctx, repository, m.Digest.String(), m)
}

// Tag implements images.Target.
func (c *Client) Tag(ctx context.Context, repository, tag string, m *images.Manifest) error {
	if len(m.Content) == 0 {
		var err error
		if m, err = c.Manifest(ctx, repository, m.Digest); err != nil {
			return err
		}
	}
	return c.putManifest(ctx, repository, tag, m)
}

func (c *Client) putManifest(ctx context.Context, repository, reference string, m *images.Manifest) error {
	what := c.what("writing manifest", m.Digest.String(), "to", repository)
	if reference != m.Digest.String() {
		what = c.what("tagging manifest", m.Digest.String()+" as "+reference, "in", repository)
	}
	err := c.attempt(ctx, what, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.url(repository, "manifests", reference).String(), bytes.NewReader(m.Content))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", m.MediaType)
		resp, err := c.send(r, repository, http.StatusCreated, http.StatusOK, http.StatusAccepted)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	var answer *transport.Error
	if errors.As(err, &answer) && hasCode(answer, transport.BlobUnknownErrorCode, transport.ManifestBlobUnknownErrorCode) {
		c.known.forget(repository) // blobs may have been pruned meanwhile
	}
	return err
}
