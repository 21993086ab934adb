package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// openS3 opens a bucket of AWS or of a store that speaks its protocol.
func openS3(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (objectstore.BucketCloser, error) {
	config, given, err := s3Config(ctx, found)
	if err != nil {
		return nil, err
	}
	store := s3.New(log, s3.WithMemory(bufferMemory), s3.WithCredential(given))
	b := &s3Bucket{store, found.Location, found.From}
	if _, err := store.Init(ctx, sdk.InitInput{Config: config}); err != nil {
		store.Close()
		if errors.Is(err, s3.CodeRegionUnknown) {
			return nil, registrysecret.NewRegionError(found.Location, err)
		}
		return nil, b.named(err)
	}
	return b, nil
}

// s3Config returns the configuration for a location with the credential that was
// found, which is nil if the configuration says where it is.
func s3Config(ctx context.Context, found *registrysecret.Found) (map[string]string, *awsaccess.Given, error) {
	config := found.Location.InitConfig(found.CABundle)
	if config["s3Url"] != "" && config["s3ForcePathStyle"] == "" {
		config["s3ForcePathStyle"] = "true" // as images have always been stored
	}
	delete(config, location.CredentialsFileKey)
	c := found.Credential
	given := &awsaccess.Given{From: found.From, Author: authorOf(found), Content: c.Content}
	switch {
	case c.File != "":
		text, err := credfile.ReadFile(ctx, c.File, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("error reading the credentials of %s: %w", found.From, err)
		}
		given.Content = credfile.Sensitive(text)
	case c.Content != "":
	case found.Source == registrysecret.RegistrySecret:
		given.AccessKeyID, given.SecretAccessKey = c.AWS.AccessKeyID, c.AWS.SecretAccessKey
	default:
		// The environment, the pod or the machine: no file has the profile.
		delete(config, "profile")
		given = nil
	}
	return config, given, nil
}

// ambientAWS looks for an identity in the environment, the pod and the machine.
func ambientAWS(ctx context.Context, l *location.Location) error {
	region := l.Config["region"]
	if l.Config["s3Url"] != "" {
		region = "" // it is the store's own, which AWS need not know
	}
	return awsaccess.Ambient(ctx, awsaccess.Trust(l.CACert, false, ""), region)
}

// s3Bucket is the bucket of a location.
type s3Bucket struct {
	store      *s3.Store
	location   *location.Location
	credential string // where it is from, in words
}

// Stat implements objectstore.Bucket.
func (b *s3Bucket) Stat(ctx context.Context, key string) (objectstore.Object, error) {
	o, err := b.store.Stat(ctx, b.location.Bucket, key)
	return objectstore.Object(o), b.explain(key, err)
}

// Get implements objectstore.Bucket.
func (b *s3Bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := b.store.GetObject(ctx, sdk.GetObjectInput{Bucket: b.location.Bucket, Key: key})
	if err != nil {
		return nil, b.explain(key, err)
	}
	return &s3Reader{object.Body, b, key}, nil
}

// Put implements objectstore.Bucket.
func (b *s3Bucket) Put(ctx context.Context, key string, body io.Reader) error {
	_, err := b.store.PutObject(ctx, sdk.PutObjectInput{Bucket: b.location.Bucket, Key: key, Body: body})
	return b.explain(key, err)
}

// Delete implements objectstore.Bucket.
func (b *s3Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: b.location.Bucket, Key: key})
	return b.explain(key, err)
}

// List implements objectstore.Bucket.
func (b *s3Bucket) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		for o, err := range b.store.List(ctx, b.location.Bucket, prefix) {
			if !yield(objectstore.Object(o), b.explain(prefix+"*", err)) {
				return
			}
		}
	}
}

// Close implements io.Closer.
func (b *s3Bucket) Close() error {
	b.store.Close()
	return nil
}

// explain adds to an error of the store what the store does not know: whose the
// bucket is, where the credential is from, and that images need more of the bucket
// than Velero's own objects.
func (b *s3Bucket) explain(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("bucket %s: %w", b.location.Bucket, err)
	case errors.Is(err, s3.CodeAccessDenied):
		// The cause tells the HTTP code and the request id.
		return registrysecret.NewBucketError(b.location, key, 0, "", fmt.Errorf("with %s: %w", b.credential, err))
	}
	return b.named(err)
}

func (b *s3Bucket) named(err error) error {
	return fmt.Errorf("bucket %s of backup storage location %s/%s, with %s: %w",
		b.location.Bucket, b.location.Namespace, b.location.Name, b.credential, err)
}

// s3Reader explains the errors of an object's body.
type s3Reader struct {
	io.ReadCloser
	bucket *s3Bucket
	key    string
}

// Read implements io.Reader.
func (r *s3Reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.bucket.explain(r.key, err)
	}
	return n, err
}
