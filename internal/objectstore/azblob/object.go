package azblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// ObjectExists implements sdk.ObjectStore. As with the plugin replaced, there is
// nothing in a container that does not exist.
func (s *Store) ObjectExists(ctx context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ObjectExistsResult{}, err
	}
	_, err = l.properties(ctx, in.Bucket, in.Key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, CodeNoSuchContainer) {
		return sdk.ObjectExistsResult{}, nil
	}
	return sdk.ObjectExistsResult{Exists: err == nil}, err
}

// Stat returns what is known of a blob without reading it. The error for one that
// does not exist is fs.ErrNotExist.
func (s *Store) Stat(ctx context.Context, bucket, key string) (Object, error) {
	l, err := s.location()
	if err != nil {
		return Object{}, err
	}
	out, err := l.properties(ctx, bucket, key)
	if err != nil {
		return Object{}, err
	}
	o := Object{Key: key, Size: *out.ContentLength}
	if out.LastModified != nil {
		o.Modified = *out.LastModified
	}
	return o, nil
}

// properties asks for the properties of a blob.
func (l *location) properties(ctx context.Context, bucket, key string) (blob.GetPropertiesResponse, error) {
	what := "error checking whether object " + key + " exists"
	c, err := l.container(bucket)
	if err != nil {
		return blob.GetPropertiesResponse{}, l.explain(what, err)
	}
	out, err := c.NewBlobClient(key).GetProperties(ctx, nil)
	switch {
	case err == nil && (out.ETag == nil || out.ContentLength == nil):
		err = errNotABlob
	case azureaccess.Status(err) == http.StatusNotFound && azureaccess.ErrorCode(err) != containerNotFound:
		err = &bareNotFound{err} // the answer to HEAD has no body, and proxies drop headers
	}
	return out, l.explain(what, err)
}

// DeleteObject implements sdk.ObjectStore.
func (s *Store) DeleteObject(ctx context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.DeleteObjectResult{}, err
	}
	what := "error deleting object " + in.Key
	c, err := l.container(in.Bucket)
	if err == nil {
		_, err = c.NewBlobClient(in.Key).Delete(ctx, nil)
	}
	if azureaccess.ErrorCode(err) == blobNotFound {
		return sdk.DeleteObjectResult{}, nil
	}
	return sdk.DeleteObjectResult{}, l.explain(what, err)
}

const (
	// maxSignedTime is the longest life of a URL that is signed for an identity.
	maxSignedTime = 7 * 24 * time.Hour
	// clockMargin is how far the clocks of this machine and of the service may be
	// apart.
	clockMargin = 10 * time.Minute
)

// CreateSignedURL implements sdk.ObjectStore.
func (s *Store) CreateSignedURL(ctx context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.CreateSignedURLResult{}, err
	}
	signed, err := l.sign(ctx, in.Bucket, in.Key, in.TTL)
	if err != nil {
		return sdk.CreateSignedURLResult{}, l.explain("error signing a URL for object "+in.Key, err)
	}
	return sdk.CreateSignedURLResult{URL: signed}, nil
}

func (l *location) sign(ctx context.Context, bucket, key string, ttl time.Duration) (string, error) {
	if ttl <= 0 || ttl > maxSignedTime {
		return "", &fault.Error{What: fmt.Sprintf("a signed URL lives for up to %v, not for %v", maxSignedTime, ttl)}
	}
	c, err := l.container(bucket)
	if err != nil {
		return "", err
	}
	target := c.NewBlobClient(key).URL()
	if l.account.sas != "" {
		return target, nil // with the query that all requests have
	}
	now := time.Now().UTC()
	values := sas.BlobSignatureValues{
		Protocol: sas.ProtocolHTTPS, StartTime: now.Add(-clockMargin), ExpiryTime: now.Add(ttl),
		Permissions: (&sas.BlobPermissions{Read: true}).String(), ContainerName: bucket, BlobName: key,
	}
	if l.plain() {
		values.Protocol = ""
	}
	var query sas.QueryParameters
	if l.account.key != nil {
		query, err = values.SignWithSharedKey(l.account.key)
	} else {
		key, keyErr := l.account.delegation(ctx, l.transport, values.StartTime, values.ExpiryTime)
		if keyErr != nil {
			return "", keyErr
		}
		query, err = values.SignWithUserDelegation(key)
	}
	if err != nil {
		return "", err
	}
	return target + "?" + query.Encode(), nil
}
