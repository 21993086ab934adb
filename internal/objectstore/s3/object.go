package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// ObjectExists implements sdk.ObjectStore.
func (s *Store) ObjectExists(ctx context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.ObjectExistsResult{}, err
	}
	_, err = l.head(ctx, in.Bucket, in.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return sdk.ObjectExistsResult{}, nil
	}
	return sdk.ObjectExistsResult{Exists: err == nil}, err
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
	head, err := l.head(ctx, bucket, key)
	if err != nil {
		return Object{}, err
	}
	if head.NeedsStat() {
		// The length could be that of a compressed form. A list tells the truth.
		return l.listed(ctx, bucket, key)
	}
	modified, err := http.ParseTime(head.Header.Get("Last-Modified"))
	if err != nil {
		return Object{}, l.explain("error finding the age of object "+key, err)
	}
	return Object{Key: key, Size: head.Length, Modified: modified}, nil
}

// head asks for the properties of an object.
func (l *location) head(ctx context.Context, bucket, key string) (answer.Head, error) {
	what := "error checking whether object " + key + " exists"
	out, err := l.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:               &bucket,
		Key:                  &key,
		SSECustomerAlgorithm: l.encryption.customer.algorithm,
		SSECustomerKey:       l.encryption.customer.key,
		SSECustomerKeyMD5:    l.encryption.customer.md5,
	})
	if err != nil {
		return answer.Head{}, l.explain(what, absentIf404(err))
	}
	head := headOf(out.ResultMetadata)
	if !isObject(head) {
		return answer.Head{}, l.explain(what, errNoETag)
	}
	return head, nil
}

// listed looks for one object in a list. The error for an object that is not
// there is fs.ErrNotExist.
func (l *location) listed(ctx context.Context, bucket, key string) (Object, error) {
	var found *Object
	err := l.eachPage(ctx, query{bucket: bucket, prefix: key}, func(p page) bool {
		for _, o := range p.objects {
			if o.Key == key {
				found = &o
			}
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = answer.Absent(errors.New("it is not in the list of objects"))
	}
	if err != nil {
		return Object{}, l.explain("error looking for object "+key, err)
	}
	return *found, nil
}

// absentIf404 makes the answer of a store that an object does not exist
// fs.ErrNotExist. The page of a proxy, and the status 404 for a bucket or for an
// encryption key, do not mean that.
func absentIf404(err error) error {
	if awsaccess.Status(err) != http.StatusNotFound || pageOf(err) != nil {
		return err
	}
	switch errorCode(err) {
	case "NoSuchKey", "NoSuchVersion", "NotFound", "UnknownError", "":
		return answer.Absent(err)
	}
	return err
}

// errorCode returns the code in the server's answer, "NoSuchKey" for example, or
// "" if it has none.
func errorCode(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// errorMessage returns the message in the server's answer, or "".
func errorMessage(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorMessage()
}

// DeleteObject implements sdk.ObjectStore.
func (s *Store) DeleteObject(ctx context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.DeleteObjectResult{}, err
	}
	return sdk.DeleteObjectResult{}, l.explain("error deleting object "+in.Key, l.delete(ctx, in.Bucket, in.Key))
}

// delete deletes an object, or finds it gone. S3 answers 204. Some servers answer
// 404 for an object that is not there, and not all with S3's code, or 200; but so
// does a proxy that does not know the store. Then a list shows what is true.
func (l *location) delete(ctx context.Context, bucket, key string) error {
	out, err := l.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	switch {
	case err == nil && headOf(out.ResultMetadata).Status == http.StatusNoContent, errorCode(err) == "NoSuchKey":
		return nil
	case err == nil:
		err = errNotDeleted
	case awsaccess.Status(err) != http.StatusNotFound, errorCode(err) == "NoSuchBucket":
		return err
	}
	if _, listErr := l.listed(ctx, bucket, key); errors.Is(listErr, fs.ErrNotExist) {
		return nil
	}
	return err
}

// errNotDeleted reports a deletion that was answered with success, after which the
// object is in the list still, or there is no list.
var errNotDeleted = errors.New("the server answered with success, but the object is still there")

// maxSignedTime is the longest life of a signed URL.
const maxSignedTime = 7 * 24 * time.Hour

// CreateSignedURL implements sdk.ObjectStore. With a customer key a download has
// to send the three SSE-C headers, since S3 knows no other way.
func (s *Store) CreateSignedURL(ctx context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	l, err := s.location()
	if err != nil {
		return sdk.CreateSignedURLResult{}, err
	}
	url, err := l.sign(ctx, in.Bucket, in.Key, in.TTL)
	return sdk.CreateSignedURLResult{URL: url}, err
}

func (l *location) sign(ctx context.Context, bucket, key string, ttl time.Duration) (string, error) {
	what := "error signing a URL for object " + key
	if ttl <= 0 || ttl > maxSignedTime {
		return "", &fault.Error{What: what, Err: fmt.Errorf("a signed URL lives for up to %v, not for %v", maxSignedTime, ttl)}
	}
	// S3 counts whole seconds: without this, half a second would be none.
	ttl = (ttl + time.Second - 1).Truncate(time.Second)
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
