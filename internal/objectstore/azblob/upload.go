package azblob

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

// maxBlocks is the largest number of blocks of a blob.
const maxBlocks = 50000

var headers = &blob.HTTPHeaders{BlobContentType: to.Ptr("application/octet-stream")}

// put stores a blob.
func (l *location) put(ctx context.Context, bucket, key string, body io.Reader) error {
	what := "error putting object " + key
	c, err := l.container(bucket)
	if err != nil {
		return l.explain(what, err)
	}
	u := &upload{client: c.NewBlockBlobClient(key)}
	_, err = transfer.Upload(ctx, body, transfer.UploadOptions{
		Pool:        l.pool,
		Concurrency: l.concurrency,
		MaxParts:    maxBlocks,
		MaxPartSize: maxBlockSize,
	}, u)
	return l.explain(what, err)
}

// upload is a transfer.Target. A blob of several blocks becomes visible by a list
// of its blocks, which have names until then.
type upload struct {
	client *blockblob.Client
	prefix [3]byte // of the names
}

var errNoETag = errors.New("the service says that it stored the object, but not what it stored")

// checkStored refuses the answer of something that is not the service: a proxy can
// answer 201 to everything.
func checkStored(etag *azcore.ETag, err error) error {
	if err == nil && (etag == nil || *etag == "") {
		return errNoETag
	}
	return err
}

// Put implements transfer.Target.
func (u *upload) Put(ctx context.Context, content []byte) error {
	body := newBody(content)
	defer body.detach()
	out, err := u.client.Upload(ctx, body, &blockblob.UploadOptions{HTTPHeaders: headers, TransactionalValidation: checksum(content)})
	return checkStored(out.ETag, err)
}

// checksum lets the service refuse bytes that were changed on their way.
func checksum(content []byte) blob.TransferValidationType {
	sum := md5.Sum(content)
	return blob.TransferValidationTypeMD5(sum[:])
}

// Begin implements transfer.Target. It needs no request.
func (u *upload) Begin(context.Context) error {
	_, err := rand.Read(u.prefix[:])
	return err
}

// blockName returns the name of block n. All names of a blob must be of one
// length, those included that another upload has left behind: 8 characters, as
// the plugin replaced has always had, such as MDAwMDA5 or, here, q83vAAAB. The
// first three bytes are random, so that no upload takes in the block of another.
func (u *upload) blockName(n int) string {
	return base64.StdEncoding.EncodeToString([]byte{u.prefix[0], u.prefix[1], u.prefix[2], byte(n >> 16), byte(n >> 8), byte(n)})
}

// Part implements transfer.Target.
func (u *upload) Part(ctx context.Context, n int, content []byte) (string, error) {
	name := u.blockName(n)
	body := newBody(content)
	defer body.detach()
	_, err := u.client.StageBlock(ctx, name, body, &blockblob.StageBlockOptions{TransactionalValidation: checksum(content)})
	return name, err
}

// Commit implements transfer.Target.
func (u *upload) Commit(ctx context.Context, names []string) error {
	out, err := u.client.CommitBlockList(ctx, names, &blockblob.CommitBlockListOptions{HTTPHeaders: headers})
	return checkStored(out.ETag, err)
}

// Abort implements transfer.Target. Blocks that are in no list cannot be removed
// without touching the blob that may be there; the service drops them after a
// week.
func (u *upload) Abort(context.Context) error { return nil }
