package azblob

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

// rangesInFlight is how many requests a download of a large blob runs at once,
// unless one connection delivers enough: Velero itself takes little more.
const (
	rangesInFlight = 4
	enoughRate     = 120 * mib
)

// get opens a blob.
func (l *location) get(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	d := &download{location: l, key: key}
	c, err := l.container(bucket)
	if err != nil {
		return nil, d.explain(err)
	}
	d.client = c.NewBlobClient(key)
	r, err := transfer.Download(ctx, transfer.DownloadOptions{
		Pool:        l.pool,
		Concurrency: rangesInFlight,
		EnoughRate:  enoughRate,
	}, d.open)
	if err != nil {
		return nil, d.explain(err)
	}
	return &reader{body: r, download: d}, nil
}

// download opens ranges of one blob.
type download struct {
	*location
	client *blob.Client
	key    string
}

// open implements transfer.Open.
func (d *download) open(ctx context.Context, r transfer.Range, version string) (*transfer.Body, error) {
	options := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: r.Offset, Count: r.Length}}
	if version != "" {
		etag := azcore.ETag(version)
		options.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &etag}}
	}
	body, err := d.send(ctx, options, func(head answer.Head, content io.ReadCloser) (*transfer.Body, error) {
		return head.Range(r, content)
	})
	unsatisfiable := azureaccess.Status(err) == http.StatusRequestedRangeNotSatisfiable
	if errors.Is(err, answer.ErrRangeUnknown) || unsatisfiable && r.Offset == 0 {
		options.Range = blob.HTTPRange{} // an empty blob has no range
		body, err = d.send(ctx, options, func(head answer.Head, content io.ReadCloser) (*transfer.Body, error) {
			return head.Whole(content, nil)
		})
		unsatisfiable = false
	}
	if azureaccess.Status(err) == http.StatusPreconditionFailed || unsatisfiable {
		return nil, transfer.ErrChanged
	}
	return body, err
}

// send sends a request and makes a body of the answer.
func (d *download) send(ctx context.Context, options *blob.DownloadStreamOptions,
	bodyOf func(answer.Head, io.ReadCloser) (*transfer.Body, error),
) (*transfer.Body, error) {
	var response *http.Response
	out, err := d.client.DownloadStream(policy.WithCaptureResponse(ctx, &response), options)
	if err != nil {
		return nil, err
	}
	head := answer.HeadOf(response)
	if head.Version() == "" {
		_ = out.Body.Close()
		return nil, errNotABlob
	}
	return bodyOf(head, out.Body)
}

// errNotABlob reports an answer without an ETag: it is of a proxy, or its body may
// not be told from another blob's when it breaks.
var errNotABlob = errors.New("the server sent something without an ETag in place of the object")

func (d *download) explain(err error) error {
	if azureaccess.Status(err) == http.StatusNotFound && (azureaccess.ErrorCode(err) == "" || azureaccess.ErrorCode(err) == "404") {
		err = &bareNotFound{err}
	}
	return d.location.explain("error getting object "+d.key, err)
}

// reader explains the errors of the blob's body.
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
