package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// ObjectExists implements sdk.ObjectStore.
func (s *Store) ObjectExists(ctx context.Context, bucket, key string) (bool, error) {
	l, err := s.location()
	if err != nil {
		return false, err
	}
	_, err = l.head(ctx, bucket, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Object is an entry of a bucket.
type Object struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the server's clock
}

// Stat returns what is known of an object without reading it. The error for an
// object that does not exist is fs.ErrNotExist.
func (s *Store) Stat(ctx context.Context, bucket, key string) (Object, error) {
	l, err := s.location()
	if err != nil {
		return Object{}, err
	}
	out, err := l.head(ctx, bucket, key)
	switch {
	case err != nil:
		return Object{}, err
	case out.ContentLength == nil:
		return Object{}, &fault.Error{What: "error finding the size of object " + key, Err: errors.New("the server did not say it")}
	}
	return Object{Key: key, Size: *out.ContentLength, Modified: aws.ToTime(out.LastModified)}, nil
}

// head asks for the properties of an object.
func (l *location) head(ctx context.Context, bucket, key string) (*s3.HeadObjectOutput, error) {
	out, err := l.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:               &bucket,
		Key:                  &key,
		SSECustomerAlgorithm: l.encryption.customer.algorithm,
		SSECustomerKey:       l.encryption.customer.key,
		SSECustomerKeyMD5:    l.encryption.customer.md5,
	})
	if err == nil {
		return out, nil
	}
	explained := l.explain("error checking whether object "+key+" exists", err)
	if awsaccess.Status(err) == http.StatusNotFound {
		return nil, absent{explained}
	}
	return nil, explained
}

// DeleteObject implements sdk.ObjectStore.
func (s *Store) DeleteObject(ctx context.Context, bucket, key string) error {
	l, err := s.location()
	if err != nil {
		return err
	}
	return l.explain("error deleting object "+key, l.delete(ctx, bucket, key))
}

// delete deletes an object, or finds it gone.
func (l *location) delete(ctx context.Context, bucket, key string) error {
	_, err := l.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchKey" {
		return nil
	}
	return err
}

// maxSignedTime is the longest life of a signed URL.
const maxSignedTime = 7 * 24 * time.Hour

// CreateSignedURL implements sdk.ObjectStore. With a customer key a download has
// to send the three SSE-C headers, since S3 knows no other way.
func (s *Store) CreateSignedURL(ctx context.Context, bucket, key string, ttl time.Duration) (string, error) {
	l, err := s.location()
	if err != nil {
		return "", err
	}
	what := "error signing a URL for object " + key
	if ttl <= 0 || ttl > maxSignedTime {
		return "", &fault.Error{What: what, Err: fmt.Errorf("a signed URL lives for up to %v, not for %v", maxSignedTime, ttl)}
	}
	if err := l.renewCredentials(ctx, ttl); err != nil {
		return "", l.explain(what, err)
	}
	signed, err := l.presign.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket:               &bucket,
		Key:                  &key,
		SSECustomerAlgorithm: l.encryption.customer.algorithm,
		SSECustomerKey:       l.encryption.customer.key,
		SSECustomerKeyMD5:    l.encryption.customer.md5,
	}, s3.WithPresignExpires(ttl), func(o *s3.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) {
			o.APIOptions = append(o.APIOptions, stripOperationName)
		})
	})
	if err != nil {
		return "", l.explain(what, err)
	}
	return signed.URL, nil
}

// renewCredentials requests new credentials when those at hand, and with them a
// URL, end before ttl.
func (l *location) renewCredentials(ctx context.Context, ttl time.Duration) error {
	c, err := l.cfg.Credentials.Retrieve(ctx)
	if err != nil || !c.CanExpire || time.Until(c.Expires) > ttl {
		return err
	}
	return awsaccess.Renew(ctx, l.cfg)
}
