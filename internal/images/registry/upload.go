package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// PutBlob implements images.Target. A blob that another repository is known to
// have is mounted from there. While it is on its way to one repository, those who
// want it in another one wait for that.
func (c *Client) PutBlob(ctx context.Context, repository string, b images.Descriptor, open images.Open) (read int64, err error) {
	put := func() error {
		return c.attempt(ctx, c.what("writing blob", b.Digest.String(), "to", repository), func() error {
			n, err := c.putBlob(ctx, repository, b, open)
			read += n
			return err
		})
	}
	err = share(ctx, &c.putting, repository+"@"+b.Digest.String(), func() error {
		if c.known.has(repository, b.Digest) {
			return nil
		}
		ran := false
		err := share(ctx, &c.uploading, b.Digest.String(), func() error { ran = true; return put() })
		if ran || ctx.Err() != nil {
			return err
		}
		return put()
	})
	return read, err
}

// putBlob puts a blob into a repository if it is not there, and returns how many
// bytes were read for it.
func (c *Client) putBlob(ctx context.Context, repository string, b images.Descriptor, open images.Open) (int64, error) {
	there, err := c.hasBlob(ctx, repository, b.Digest)
	if err != nil {
		return 0, err
	}
	var read int64
	if !there {
		location, err := c.startUpload(ctx, repository, b.Digest)
		if err != nil {
			return 0, err
		}
		if location != nil {
			if read, err = c.upload(ctx, repository, location, b, open); err != nil {
				return read, err
			}
		}
	}
	c.known.add(repository, b.Digest)
	return read, nil
}

func (c *Client) hasBlob(ctx context.Context, repository string, d digest.Digest) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, c.url(repository, "blobs", d.String()).String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := c.send(r, repository, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// startUpload returns where to send a blob, or nil if the registry has taken it
// from another repository.
func (c *Client) startUpload(ctx context.Context, repository string, d digest.Digest) (*url.URL, error) {
	if from := c.known.other(repository, d); from != "" {
		location, err := c.postUpload(ctx, repository, url.Values{"mount": {d.String()}, "from": {from}})
		var answer *transport.Error
		if !errors.As(err, &answer) || attempts(err) > 1 {
			return location, err
		}
		// A repository that may not be read is no reason to give up.
	}
	return c.postUpload(ctx, repository, nil)
}

func (c *Client) postUpload(ctx context.Context, repository string, query url.Values) (*url.URL, error) {
	u := c.url(repository, "blobs", "uploads/")
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(r, repository, http.StatusAccepted, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusCreated && query != nil {
		return nil, nil
	}
	return resp.Location()
}

// upload sends a blob and returns how many bytes were read for it. Nothing is
// read any more when it returns.
func (c *Client) upload(ctx context.Context, repository string, to *url.URL, b images.Descriptor, open images.Open) (int64, error) {
	query := to.Query()
	query.Set("digest", b.Digest.String())
	to.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), nil)
	if err != nil {
		return 0, err
	}
	bodies := &bodies{ctx: ctx, blob: b, open: open}
	r.ContentLength = b.Size
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Body = http.NoBody // roundTripper.send asks GetBody for another one
	r.GetBody = bodies.next
	resp, err := c.send(r, repository, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err == nil {
		err = resp.Body.Close()
	}
	read, readErr := bodies.close()
	if readErr != nil {
		// What the registry or its client made of that does not matter.
		return read, readErr
	}
	return read, err
}

// bodies are the bodies of one request, which may be sent several times.
type bodies struct {
	ctx  context.Context
	blob images.Descriptor
	open images.Open

	mu  sync.Mutex
	all []*body
}

// next is http.Request.GetBody.
func (s *bodies) next() (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	b := &body{ctx: ctx, cancel: cancel, blob: s.blob, open: s.open, verifier: s.blob.Digest.Algorithm().Hash()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, b)
	return b, nil
}

// close ends all reading. It returns the number of bytes that were read, and what
// was wrong with the last body, if anything was.
func (s *bodies) close() (read int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.all {
		_ = b.Close()
		read, err = read+b.read, b.err
	}
	return read, err
}
