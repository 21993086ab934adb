package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
)

// Limits of the S3 API for multipart uploads.
const (
	maxParts    = 10000
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
)

var contentType = aws.String("application/octet-stream")

// upload is a transfer.Target. Bodies are given to the SDK as bytes.Reader: their
// length is known, and they can be sent again. The SDK's client cuts the
// connection off from the body before it returns, so that a request which has
// failed no longer reads a buffer that is unmapped or filled anew.
type upload struct {
	*location
	bucket, key string
	id          *string
	mode        checksumMode // that the multipart upload was begun with
}

// Put implements transfer.Target.
func (u *upload) Put(ctx context.Context, body []byte) error {
	return u.integrity.send(func(mode checksumMode) error {
		sums := mode.sums(body, u.tls)
		out, err := u.client.PutObject(sums.context(ctx), &s3.PutObjectInput{
			Bucket:               &u.bucket,
			Key:                  &u.key,
			Body:                 bytes.NewReader(body),
			ContentType:          contentType,
			ContentMD5:           sums.contentMD5,
			ChecksumCRC32:        sums.crc32,
			ChecksumCRC32C:       sums.crc32c,
			ChecksumCRC64NVME:    sums.crc64nvme,
			ChecksumSHA1:         sums.sha1,
			ChecksumSHA256:       sums.sha256,
			Tagging:              u.tagging,
			StorageClass:         types.StorageClass(u.storageClass),
			ACL:                  types.ObjectCannedACL(u.acl),
			ServerSideEncryption: types.ServerSideEncryption(aws.ToString(u.encryption.algorithm)),
			SSEKMSKeyId:          u.encryption.kmsKey,
			SSECustomerAlgorithm: u.encryption.customer.algorithm,
			SSECustomerKey:       u.encryption.customer.key,
			SSECustomerKeyMD5:    u.encryption.customer.md5,
		})
		if err == nil {
			u.integrity.confirm(cmp.Or(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256) != nil)
		}
		return err
	})
}

// Begin implements transfer.Target.
func (u *upload) Begin(ctx context.Context) error {
	return u.integrity.send(func(mode checksumMode) error {
		out, err := u.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket:               &u.bucket,
			Key:                  &u.key,
			ContentType:          contentType,
			ChecksumAlgorithm:    mode.sdkAlgorithm(),
			Tagging:              u.tagging,
			StorageClass:         types.StorageClass(u.storageClass),
			ACL:                  types.ObjectCannedACL(u.acl),
			ServerSideEncryption: types.ServerSideEncryption(aws.ToString(u.encryption.algorithm)),
			SSEKMSKeyId:          u.encryption.kmsKey,
			SSECustomerAlgorithm: u.encryption.customer.algorithm,
			SSECustomerKey:       u.encryption.customer.key,
			SSECustomerKeyMD5:    u.encryption.customer.md5,
		})
		if err != nil {
			return err
		}
		if aws.ToString(out.UploadId) == "" {
			return errors.New("the server began a multipart upload without an upload id")
		}
		u.id, u.mode = out.UploadId, mode
		u.integrity.confirm(out.ChecksumAlgorithm != "")
		return nil
	})
}

// Part implements transfer.Target.
func (u *upload) Part(ctx context.Context, n int, body []byte) (types.CompletedPart, error) {
	number := aws.Int32(int32(n))
	var part types.CompletedPart
	err := u.integrity.send(func(mode checksumMode) error {
		sums := mode.sums(body, u.tls)
		out, err := u.client.UploadPart(sums.context(ctx), &s3.UploadPartInput{
			Bucket:               &u.bucket,
			Key:                  &u.key,
			UploadId:             u.id,
			PartNumber:           number,
			Body:                 bytes.NewReader(body),
			ContentMD5:           sums.contentMD5,
			ChecksumCRC32:        sums.crc32,
			ChecksumCRC32C:       sums.crc32c,
			ChecksumCRC64NVME:    sums.crc64nvme,
			ChecksumSHA1:         sums.sha1,
			ChecksumSHA256:       sums.sha256,
			SSECustomerAlgorithm: u.encryption.customer.algorithm,
			SSECustomerKey:       u.encryption.customer.key,
			SSECustomerKeyMD5:    u.encryption.customer.md5,
		})
		if err != nil {
			return err
		}
		u.integrity.confirm(cmp.Or(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256) != nil)
		part = types.CompletedPart{
			PartNumber:        number,
			ETag:              out.ETag,
			ChecksumCRC32:     sums.crc32,
			ChecksumCRC32C:    sums.crc32c,
			ChecksumCRC64NVME: sums.crc64nvme,
			ChecksumSHA1:      sums.sha1,
			ChecksumSHA256:    sums.sha256,
		}
		return nil
	})
	return part, err
}

// Commit implements transfer.Target.
func (u *upload) Commit(ctx context.Context, parts []types.CompletedPart) error {
	input := &s3.CompleteMultipartUploadInput{
		Bucket:          &u.bucket,
		Key:             &u.key,
		UploadId:        u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	if u.mode.algorithm != "" {
		// A server can verify the parts' checksums only with the key.
		input.SSECustomerAlgorithm = u.encryption.customer.algorithm
		input.SSECustomerKey = u.encryption.customer.key
		input.SSECustomerKeyMD5 = u.encryption.customer.md5
	}
	_, err := u.client.CompleteMultipartUpload(ctx, input)
	if isNoSuchUpload(err) && u.isStored(ctx, parts) {
		return nil // the answer to the first attempt was lost
	}
	return err
}

// isStored reports whether the object is the one that the parts make up. The
// entity tags of parts are their MD5 sums, and that of the object is made of
// them; where it is not, nothing is known.
func (u *upload) isStored(ctx context.Context, parts []types.CompletedPart) bool {
	var sums []byte
	for _, part := range parts {
		sum, err := hex.DecodeString(strings.Trim(aws.ToString(part.ETag), `"`))
		if err != nil || len(sum) != md5.Size {
			return false
		}
		sums = append(sums, sum...)
	}
	want := fmt.Sprintf("%x-%d", md5.Sum(sums), len(parts))
	out, err := u.head(ctx, u.bucket, u.key)
	return err == nil && strings.Trim(aws.ToString(out.ETag), `"`) == want
}

// A server that is still storing a part when the upload is aborted may keep the
// part, so an upload is aborted until it is gone.
const (
	abortTries = 3
	abortPause = 200 * time.Millisecond
)

// Abort implements transfer.Target.
func (u *upload) Abort(ctx context.Context) error {
	err := u.abort(ctx)
	if err != nil {
		u.log.Warn("the parts of an upload that failed could not be removed; a lifecycle rule of the bucket that ends incomplete uploads removes them",
			"key", u.key, "error", awsaccess.Plain(err).Error())
	}
	return err
}

func (u *upload) abort(ctx context.Context) error {
	for try := 1; ; try++ {
		_, err := u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket:   &u.bucket,
			Key:      &u.key,
			UploadId: u.id,
		})
		switch {
		case isNoSuchUpload(err):
			return nil
		case err != nil || try == abortTries:
			return err
		}
		select {
		case <-time.After(abortPause):
		case <-ctx.Done():
			return nil
		}
	}
}

func isNoSuchUpload(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "NoSuchUpload"
}
