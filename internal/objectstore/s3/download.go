package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

// rangesInFlight is how many requests a download of a large object runs at once,
// unless one connection delivers enough: Velero itself takes little more.
const (
	rangesInFlight = 6
	enoughRate     = 120 * mib
)

// download opens ranges of one object.
type download struct {
	*location
	bucket, key string
}

// open implements transfer.Open.
func (d *download) open(ctx context.Context, r transfer.Range, version string) (*transfer.Body, error) {
	input := &s3.GetObjectInput{
		Bucket:               &d.bucket,
		Key:                  &d.key,
		Range:                aws.String(fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)),
		IfMatch:              optional(version),
		SSECustomerAlgorithm: d.encryption.customer.algorithm,
		SSECustomerKey:       d.encryption.customer.key,
		SSECustomerKeyMD5:    d.encryption.customer.md5,
	}
	out, err := d.client.GetObject(ctx, input)
	sizeless := err == nil && strings.HasSuffix(aws.ToString(out.ContentRange), "/*")
	if r.Offset == 0 && (sizeless || awsaccess.Status(err) == http.StatusRequestedRangeNotSatisfiable) {
		// An empty object has no range, and the first range of an object of unknown
		// size may be a part of it.
		if sizeless {
			out.Body.Close()
		}
		input.Range = nil
		out, err = d.client.GetObject(ctx, input)
	}
	switch {
	case awsaccess.Status(err) == http.StatusPreconditionFailed, r.Offset > 0 && awsaccess.Status(err) == http.StatusRequestedRangeNotSatisfiable:
		return nil, transfer.ErrChanged
	case err != nil:
		return nil, err
	}
	body := &transfer.Body{ReadCloser: out.Body, Version: aws.ToString(out.ETag)}
	if out.ContentRange == nil {
		body.Whole, body.Size = true, -1
		if out.ContentLength != nil {
			body.Size = *out.ContentLength
		}
		return body, nil
	}
	if body.Offset, body.Size, err = parseContentRange(*out.ContentRange); err != nil {
		out.Body.Close()
		return nil, err
	}
	return body, nil
}

// parseContentRange reads the first byte and the object's size, -1 for *, from
// "bytes 0-8388607/268435456".
func parseContentRange(s string) (offset, size int64, err error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, dash := strings.Cut(span, "-")
	offset, err = strconv.ParseInt(first, 10, 64)
	size = -1
	if err == nil && total != "*" {
		size, err = strconv.ParseInt(total, 10, 64)
	}
	if err != nil || !ok || !dash || offset < 0 || size < -1 {
		return 0, 0, fmt.Errorf("the server sent the Content-Range %q", s)
	}
	return offset, size, nil
}

func (d *download) explain(err error) error {
	err = d.location.explain("error getting object "+d.key, err)
	if CodeNoSuchKey.Is(err) {
		return absent{err}
	}
	return err
}

// reader explains the errors of the object's body.
type reader struct {
	body     transfer.Reader
	download *download
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	return n, r.explain(err)
}

// ReadChunk implements sdk.ChunkReader.
func (r *reader) ReadChunk(p []byte) (data []byte, release func(), err error) {
	data, release, err = r.body.ReadChunk(p)
	return data, release, r.explain(err)
}

func (r *reader) Close() error { return r.body.Close() }

func (r *reader) explain(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return r.download.explain(err)
}
