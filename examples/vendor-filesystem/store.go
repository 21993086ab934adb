package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// store is the object store: a directory for each bucket, below a root.
type store struct {
	config atomic.Pointer[config.Values] // nil before Init
}

func newStore(sdk.Host) (sdk.ObjectStore, error) { return &store{}, nil }

var noBucket = fault.Code{ID: "FILESYSTEM_NO_BUCKET",
	Meaning: "The root directory has no subdirectory with the name of the bucket.",
	Fix:     "create the directory and let the user that Velero runs as write to it"}

// ConfigKeys lets the command config print the keys.
func (s *store) ConfigKeys() config.Keys {
	return append(location.BackupKeys(),
		config.String("root", "directory with a subdirectory for each bucket").Required("the root directory is not set"),
		config.URL("publicUrl", "where the command serve is reached; logs cannot be downloaded without it"),
	)
}

func (s *store) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	values, err := s.ConfigKeys().Parse(in.Config)
	if err != nil {
		return sdk.InitResult{}, err
	}
	s.config.Store(&values)
	if dir, err := s.path(values.String(location.BucketKey), ""); err == nil {
		sweep(dir)
	}
	return sdk.InitResult{}, nil
}

// sweep removes uploads that a crash has cut off: none that goes on has last
// been written to a day ago.
func sweep(dir string) {
	uploads, _ := filepath.Glob(filepath.Join(dir, partial+"*"))
	for _, upload := range uploads {
		if info, err := os.Stat(upload); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.Remove(upload)
		}
	}
}

// path returns the path of a file in a bucket, or an error if there is no such
// bucket.
func (s *store) path(bucket, file string) (string, error) {
	values := s.config.Load()
	if values == nil {
		return "", errors.New("the store has no configuration yet")
	}
	if bucket == "" || bucket[0] == '.' || strings.Contains(bucket, "/") {
		return "", fmt.Errorf("%q is no name of a bucket", bucket)
	}
	dir := filepath.Join(values.String("root"), bucket)
	if _, err := os.Stat(dir); err != nil {
		return "", &fault.Error{Code: noBucket, What: "opening bucket " + bucket, Err: err}
	}
	return filepath.Join(dir, file), nil
}

// PutObject writes a file of another name, so that nobody sees it before it is
// complete and on the disk.
func (s *store) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	root, err := s.path(in.Bucket, "")
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	file := filepath.Join(root, fileName(in.Key))
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return sdk.PutObjectResult{}, err
	}
	upload, err := os.CreateTemp(root, partial)
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	defer os.Remove(upload.Name()) // unless it has become the object
	_, err = io.Copy(upload, in.Body)
	if err == nil {
		err = upload.Sync()
	}
	if err = errors.Join(err, upload.Close(), context.Cause(ctx)); err == nil {
		err = os.Rename(upload.Name(), file)
	}
	if err != nil {
		return sdk.PutObjectResult{}, fmt.Errorf("putting %s: %w", in.Key, err)
	}
	return sdk.PutObjectResult{}, sync(dir)
}

// sync makes new names in a directory outlast a power failure.
func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *store) ObjectExists(_ context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	file, err := s.path(in.Bucket, fileName(in.Key))
	if err != nil {
		return sdk.ObjectExistsResult{}, err
	}
	_, err = os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return sdk.ObjectExistsResult{}, nil
	}
	return sdk.ObjectExistsResult{Exists: err == nil}, err
}

func (s *store) GetObject(_ context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	file, err := s.path(in.Bucket, fileName(in.Key))
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	object, err := os.Open(file)
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	return sdk.GetObjectResult{Body: object}, nil
}

func (s *store) ListObjects(_ context.Context, in sdk.ListObjectsInput) (result sdk.ListObjectsResult, err error) {
	dir, err := s.path(in.Bucket, "")
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, whole) {
			return err
		}
		key, err := keyOf(file)
		if strings.HasPrefix(key, in.Prefix) {
			result.Keys = append(result.Keys, key)
		}
		return err
	})
	slices.Sort(result.Keys)
	return result, err
}

func (s *store) ListCommonPrefixes(ctx context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	listed, err := s.ListObjects(ctx, sdk.ListObjectsInput{Bucket: in.Bucket, Prefix: in.Prefix})
	var prefixes []string
	for _, key := range listed.Keys {
		if head, _, cut := strings.Cut(key[len(in.Prefix):], in.Delimiter); cut {
			prefixes = append(prefixes, in.Prefix+head+in.Delimiter)
		}
	}
	return sdk.ListCommonPrefixesResult{Prefixes: slices.Compact(prefixes)}, err
}

func (s *store) DeleteObject(_ context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	file, err := s.path(in.Bucket, fileName(in.Key))
	if err != nil {
		return sdk.DeleteObjectResult{}, err
	}
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return sdk.DeleteObjectResult{}, err
	}
	return sdk.DeleteObjectResult{}, nil
}
