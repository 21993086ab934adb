// Package independent reads and writes the buckets of tests with the clients of
// the servers' makers, so that a store under test is not judged by itself. Its
// types implement buckettest.Independent.
package independent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// S3 is a bucket of an S3 server.
type S3 struct {
	Client *minio.Client
	Bucket string
}

// Read returns the content of an object; fs.ErrNotExist if there is none.
func (s S3) Read(ctx context.Context, key string) ([]byte, error) {
	o, err := s.Client.GetObject(ctx, s.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	data, err := io.ReadAll(o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("object %s: %w", key, fs.ErrNotExist)
	}
	return data, err
}

// Write stores objects.
func (s S3) Write(ctx context.Context, objects map[string][]byte) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for key, content := range objects {
		group.Go(func() error {
			_, err := s.Client.PutObject(ctx, s.Bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
			return err
		})
	}
	return group.Wait()
}

// Leftovers names the parts of an object's uploads that were neither completed nor
// aborted.
func (s S3) Leftovers(ctx context.Context, key string) ([]string, error) {
	var left []string
	for upload := range s.Client.ListIncompleteUploads(ctx, s.Bucket, key, true) {
		switch {
		case minio.ToErrorResponse(upload.Err).Code == "NoSuchUpload":
			return left, nil // as rclone says that there is none
		case upload.Err != nil:
			return left, upload.Err
		}
		left = append(left, fmt.Sprintf("upload %s of %s, begun at %s", upload.UploadID, upload.Key, upload.Initiated.Format(time.RFC3339)))
	}
	return left, nil
}
