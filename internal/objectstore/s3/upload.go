package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
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
	parts       *integrity // of the parts: an upload keeps the mode that it began with
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
		}, mode.options)
		if err == nil && answer.ETag(aws.ToString(out.ETag)) == "" {
			return u.verify(ctx, body)
		}
		if err == nil {
			u.integrity.confirm(cmp.Or(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256) != nil)
		}
		return err
	})
}

// verify reads back an object whose upload was answered without an ETag: a proxy
// may have answered in the place of the store.
func (u *upload) verify(ctx context.Context, body []byte) error {
	d := &download{location: u.location, bucket: u.bucket, key: u.key}
	stored, err := d.open(ctx, transfer.Range{Length: int64(max(len(body), 1))}, "")
	if err != nil {
		return errors.Join(errNoETag, err)
	}
	defer stored.Close()
	content, err := io.ReadAll(io.LimitReader(stored, int64(len(body))+1))
	if err != nil {
		return errors.Join(errNoETag, err)
	}
	if stored.Size >= 0 && stored.Size != int64(len(body)) || !bytes.Equal(content, body) {
		return fmt.Errorf("%w, and the object is not the one that was sent", errNoETag)
	}
	return nil
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
		}, mode.options)
		if err != nil {
			return err
		}
		if aws.ToString(out.UploadId) == "" {
			return errNoUploadID
		}
		u.integrity.confirm(out.ChecksumAlgorithm != "")
		u.id, u.parts = out.UploadId, u.integrity.forParts(mode)
		return nil
	})
}

// errNoUploadID reports an upload that cannot be continued.
var errNoUploadID = errors.New("the server began a multipart upload without an upload id")

// Part implements transfer.Target.
func (u *upload) Part(ctx context.Context, n int, body []byte) (types.CompletedPart, error) {
	number := aws.Int32(int32(n))
	var part types.CompletedPart
	err := u.parts.send(func(mode checksumMode) error {
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
		}, mode.options)
		if err != nil {
			return err
		}
		etag := answer.ETag(aws.ToString(out.ETag))
		if etag == "" {
			return errNoETag // the part is stored under its number, or not at all
		}
		u.parts.confirm(cmp.Or(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256) != nil)
		part = types.CompletedPart{
			PartNumber:        number,
			ETag:              &etag,
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

// How often an upload is completed whose result is not known, and the pause
// before each further attempt.
const (
	commitTries = 4
	commitPause = time.Second
)

// Commit implements transfer.Target. S3 sends status 200 before the object is
// there and the result last, so only the result with its ETag is a success. When
// it does not arrive the object itself shows whether it is there.
func (u *upload) Commit(ctx context.Context, parts []types.CompletedPart) error {
	input := &s3.CompleteMultipartUploadInput{
		Bucket:          &u.bucket,
		Key:             &u.key,
		UploadId:        u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}
	if u.parts.mode.Load().algorithm != "" {
		// A server can verify the parts' checksums only with the key.
		input.SSECustomerAlgorithm = u.encryption.customer.algorithm
		input.SSECustomerKey = u.encryption.customer.key
		input.SSECustomerKeyMD5 = u.encryption.customer.md5
	} else {
		for i := range parts {
			parts[i] = types.CompletedPart{PartNumber: parts[i].PartNumber, ETag: parts[i].ETag}
		}
	}
	for try := 1; ; try++ {
		out, err := u.client.CompleteMultipartUpload(ctx, input)
		if err == nil {
			if answer.ETag(aws.ToString(out.ETag)) != "" {
				return nil
			}
			err = errNoETag
		}
		again := false // the request may not have reached the server
		switch api := awsaccess.Answer(err); {
		case isNoSuchUpload(err), awsaccess.Status(err) >= http.StatusInternalServerError:
			// The answer to an earlier attempt was lost.
		case api != nil, awsaccess.AboutCredentials(err):
			return err
		case errors.Is(err, errNoETag), pageOf(err) != nil:
			again = try < commitTries
		}
		if u.isStored(ctx, parts) {
			return nil
		}
		if !again {
			return err
		}
		select {
		case <-time.After(commitPause):
		case <-ctx.Done():
			return err
		}
	}
}

// isStored reports whether the object is the one that the parts make up. Its
// entity tag is made of those of the parts if they are their MD5 sums. With
// encryption they are not; then its checksum is made of those of the parts.
func (u *upload) isStored(ctx context.Context, parts []types.CompletedPart) bool {
	input := &s3.HeadObjectInput{
		Bucket:               &u.bucket,
		Key:                  &u.key,
		SSECustomerAlgorithm: u.encryption.customer.algorithm,
		SSECustomerKey:       u.encryption.customer.key,
		SSECustomerKeyMD5:    u.encryption.customer.md5,
	}
	sum := combined(u.parts.mode.Load().algorithm, parts)
	if sum != "" {
		input.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := u.client.HeadObject(ctx, input)
	if err != nil {
		return false
	}
	if tag := combinedETag(parts); tag != "" && strings.Trim(answer.ETag(aws.ToString(out.ETag)), `"`) == tag {
		return true
	}
	stored := cmp.Or(out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumSHA1, out.ChecksumSHA256)
	return sum != "" && aws.ToString(stored) == sum
}

// combinedETag returns the entity tag of an object of several parts without its
// quotes, or "" if the tags of the parts are no MD5 sums:
//
//	9b2cf535f27731c974343645a3985328-2
func combinedETag(parts []types.CompletedPart) string {
	var sums []byte
	for _, part := range parts {
		sum, err := hex.DecodeString(strings.Trim(aws.ToString(part.ETag), `"`))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		sums = append(sums, sum...)
	}
	return fmt.Sprintf("%x-%d", md5.Sum(sums), len(parts))
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

func isNoSuchUpload(err error) bool { return errorCode(err) == "NoSuchUpload" }
