package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
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

// open implements transfer.Open. A server that cannot tell which range it sent is
// asked for the whole object.
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
	body, err := d.get(ctx, input, func(head answer.Head, content io.ReadCloser) (*transfer.Body, error) {
		return head.Range(r, content)
	})
	unsatisfiable := awsaccess.Status(err) == http.StatusRequestedRangeNotSatisfiable
	// An empty object has no range.
	if errors.Is(err, answer.ErrRangeUnknown) || unsatisfiable && r.Offset == 0 {
		input.Range = nil
		body, err = d.get(ctx, input, func(head answer.Head, content io.ReadCloser) (*transfer.Body, error) {
			var stat *answer.Head
			if head.NeedsStat() {
				properties, err := d.location.head(ctx, d.bucket, d.key)
				if err != nil {
					_ = content.Close()
					return nil, err
				}
				stat = &properties
			}
			return head.Whole(content, stat)
		})
		unsatisfiable = false
	}
	if awsaccess.Status(err) == http.StatusPreconditionFailed || unsatisfiable {
		return nil, transfer.ErrChanged
	}
	return body, err
}

// get sends a request and makes a body of the answer.
func (d *download) get(ctx context.Context, input *s3.GetObjectInput,
	bodyOf func(answer.Head, io.ReadCloser) (*transfer.Body, error),
) (*transfer.Body, error) {
	out, err := d.client.GetObject(ctx, input)
	if err != nil {
		return nil, err
	}
	head := headOf(out.ResultMetadata)
	if !isObject(head) {
		_ = out.Body.Close()
		return nil, errNoETag
	}
	return bodyOf(head, out.Body)
}

func (d *download) explain(err error) error {
	return d.location.explain("error getting object "+d.key, absentIf404(err))
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
