package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// object is what the stores return, each as a type of its own: stores do not
// import objectstore.
type object interface {
	~struct {
		Key      string
		Size     int64
		Modified time.Time
	}
}

// store is what the stores of all providers have.
type store[O object] interface {
	sdk.ObjectStore
	Stat(ctx context.Context, bucket, key string) (O, error)
	List(ctx context.Context, bucket, prefix string) iter.Seq2[O, error]
	Close()
}

// bucket is the bucket of a location.
type bucket[O object] struct {
	store      store[O]
	location   *location.Location
	credential string     // where it is from, in words
	denied     fault.Code // of the store's errors when the credential lacks a right
}

// Stat implements objectstore.Bucket.
func (b *bucket[O]) Stat(ctx context.Context, key string) (objectstore.Object, error) {
	o, err := b.store.Stat(ctx, b.location.Bucket, key)
	return objectstore.Object(o), b.explain(key, err)
}

// Get implements objectstore.Bucket.
func (b *bucket[O]) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := b.store.GetObject(ctx, sdk.GetObjectInput{Bucket: b.location.Bucket, Key: key})
	if err != nil {
		return nil, b.explain(key, err)
	}
	return &reader{object.Body, func(err error) error { return b.explain(key, err) }}, nil
}

// Put implements objectstore.Bucket.
func (b *bucket[O]) Put(ctx context.Context, key string, body io.Reader) error {
	_, err := b.store.PutObject(ctx, sdk.PutObjectInput{Bucket: b.location.Bucket, Key: key, Body: body})
	return b.explain(key, err)
}

// Delete implements objectstore.Bucket.
func (b *bucket[O]) Delete(ctx context.Context, key string) error {
	_, err := b.store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: b.location.Bucket, Key: key})
	return b.explain(key, err)
}

// List implements objectstore.Bucket.
func (b *bucket[O]) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		for o, err := range b.store.List(ctx, b.location.Bucket, prefix) {
			if !yield(objectstore.Object(o), b.explain(prefix+"*", err)) {
				return
			}
		}
	}
}

// Close implements io.Closer.
func (b *bucket[O]) Close() error {
	b.store.Close()
	return nil
}

// explain adds to an error of the store what the store does not know: whose the
// bucket is, where the credential is from, and that images need more of the bucket
// than Velero's own objects.
func (b *bucket[O]) explain(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("bucket %s: %w", b.location.Bucket, err)
	case errors.Is(err, b.denied):
		// The cause tells the HTTP code and the request id.
		return registrysecret.NewBucketError(b.location, key, 0, "", fmt.Errorf("with %s: %w", b.credential, err))
	}
	return b.named(err)
}

func (b *bucket[O]) named(err error) error {
	return fmt.Errorf("bucket %s of backup storage location %s/%s, with %s: %w",
		b.location.Bucket, b.location.Namespace, b.location.Name, b.credential, err)
}

// reader explains the errors of an object's body.
type reader struct {
	io.ReadCloser
	explain func(error) error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.explain(err)
	}
	return n, err
}
