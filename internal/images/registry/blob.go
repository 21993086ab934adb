package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Blob implements images.Source. It asks for the whole blob at once, and for the
// rest of it where a connection breaks, so that nothing is kept in memory.
func (c *Client) Blob(ctx context.Context, repository string, b images.Descriptor) (io.ReadCloser, error) {
	what := c.what("reading blob", b.Digest.String(), "of", repository)
	open := func(ctx context.Context, r transfer.Range, _ string) (body *transfer.Body, err error) {
		err = c.attempt(ctx, what, func() error {
			body, err = c.openBlob(ctx, repository, b, r)
			return err
		})
		return body, err
	}
	content, err := transfer.Download(ctx, inOneStream(), open)
	if err != nil {
		return nil, err
	}
	c.known.add(repository, b.Digest)
	return &blob{content, ctx, c, what}, nil
}

// inOneStream reads nothing ahead, and so has no buffers.
func inOneStream() transfer.DownloadOptions {
	return transfer.DownloadOptions{Pool: transfer.NewPool(1, 0), Concurrency: 1, EnoughRate: 1}
}

// openBlob asks for the whole of a blob, or for a range from the middle to its
// end.
func (c *Client) openBlob(ctx context.Context, repository string, b images.Descriptor, part transfer.Range) (*transfer.Body, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(repository, "blobs", b.Digest.String()).String(), nil)
	if err != nil {
		return nil, err
	}
	if part.Offset > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.Offset, part.Offset+part.Length-1))
	}
	resp, err := c.send(r, repository, http.StatusOK, http.StatusPartialContent)
	if err != nil {
		return nil, absent(err)
	}
	body := &transfer.Body{ReadCloser: resp.Body, Size: resp.ContentLength, Whole: true}
	if resp.StatusCode == http.StatusPartialContent {
		body.Offset, body.Size, err = contentRange(resp.Header.Get("Content-Range"))
	}
	if err == nil && b.Size >= 0 && body.Size >= 0 && body.Size != b.Size {
		err = fmt.Errorf("%w: it has %d bytes instead of %d", errDamaged, body.Size, b.Size)
	}
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if body.Size < 0 {
		body.Size = b.Size
	}
	return body, nil
}

// contentRange reads a header such as "bytes 5-9/10": the offset of the first
// byte, and the size of the whole, which is -1 if it is not told.
func contentRange(header string) (offset, size int64, err error) {
	invalid := fmt.Errorf("the registry sent the invalid Content-Range %q", header)
	span, whole, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, last, isSpan := strings.Cut(span, "-")
	if !ok || !isSpan || !strings.HasPrefix(header, "bytes ") {
		return 0, 0, invalid
	}
	start, startErr := strconv.ParseUint(first, 10, 63)
	end, endErr := strconv.ParseUint(last, 10, 63)
	if startErr != nil || endErr != nil || end < start {
		return 0, 0, invalid
	}
	if whole == "*" {
		return int64(start), -1, nil
	}
	total, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || end >= total {
		return 0, 0, invalid
	}
	return int64(start), int64(total), nil
}

// blob explains the errors of a transfer.
type blob struct {
	io.ReadCloser
	ctx    context.Context
	client *Client
	what   string
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var known *fault.Error
	switch {
	case err == nil, err == io.EOF, errors.As(err, &known):
		return n, err
	case b.ctx.Err() != nil, errors.Is(err, fs.ErrClosed), errors.Is(err, fs.ErrNotExist):
		return n, err
	}
	return n, b.client.explain(b.what, err)
}
