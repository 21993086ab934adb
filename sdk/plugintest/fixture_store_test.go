package plugintest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// dirStore is a sound object store: a folder for each bucket and a file for
// each object. Its root has to hold a folder uploads beside the buckets.
type dirStore struct{ config atomic.Pointer[dirConfig] }

type dirConfig struct{ root, url string }

const (
	// brokenFile in the root makes everything fail.
	brokenFile = "broken"
	signKey    = "of the test's own file server"
)

func (s *dirStore) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	for key := range in.Config {
		if !slices.Contains([]string{"root", "url", "bucket", "prefix"}, key) {
			return sdk.InitResult{}, fmt.Errorf("config has the unknown key %s", key)
		}
	}
	s.config.Store(&dirConfig{in.Config["root"], in.Config["url"]})
	return sdk.InitResult{}, nil
}

// path returns the file of an object.
func (s *dirStore) path(bucket, key string) (string, error) {
	c := s.config.Load()
	if c == nil {
		return "", errors.New("the store is not initialized")
	}
	return c.path(bucket, key)
}

func (c *dirConfig) path(bucket, key string) (string, error) {
	if _, err := os.Stat(filepath.Join(c.root, brokenFile)); err == nil {
		return "", errors.New("the disk is broken")
	}
	dir := filepath.Join(c.root, bucket)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, url.PathEscape(key)), nil
}

func (s *dirStore) PutObject(ctx context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	path, err := s.path(in.Bucket, in.Key)
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	f, err := os.CreateTemp(filepath.Join(s.config.Load().root, "uploads"), "")
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	_, err = io.Copy(f, in.Body)
	if err = errors.Join(err, ctx.Err(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return sdk.PutObjectResult{}, errors.Join(err, os.Remove(f.Name()))
	}
	return sdk.PutObjectResult{}, nil
}

func (s *dirStore) ObjectExists(_ context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	path, err := s.path(in.Bucket, in.Key)
	if err != nil {
		return sdk.ObjectExistsResult{}, err
	}
	_, err = os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return sdk.ObjectExistsResult{}, nil
	}
	return sdk.ObjectExistsResult{Exists: err == nil}, err
}

func (s *dirStore) GetObject(_ context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	path, err := s.path(in.Bucket, in.Key)
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	return sdk.GetObjectResult{Body: &dirReader{f, s}}, nil
}

// dirReader fails when the disk breaks.
type dirReader struct {
	*os.File
	store *dirStore
}

func (r *dirReader) Read(p []byte) (int, error) {
	if _, err := r.store.path("", ""); err != nil {
		return 0, err
	}
	return r.File.Read(p)
}

func (s *dirStore) ListObjects(_ context.Context, in sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	path, err := s.path(in.Bucket, "")
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	entries, err := os.ReadDir(filepath.Dir(filepath.Join(path, "x")))
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	var keys []string
	for _, e := range entries {
		key, err := url.PathUnescape(e.Name())
		if err != nil {
			return sdk.ListObjectsResult{}, err
		}
		if strings.HasPrefix(key, in.Prefix) {
			keys = append(keys, key)
		}
	}
	return sdk.ListObjectsResult{Keys: keys}, nil
}

func (s *dirStore) ListCommonPrefixes(ctx context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	listed, err := s.ListObjects(ctx, sdk.ListObjectsInput{Bucket: in.Bucket, Prefix: in.Prefix})
	if err != nil {
		return sdk.ListCommonPrefixesResult{}, err
	}
	var prefixes []string
	for _, key := range listed.Keys {
		if head, _, ok := strings.Cut(key[len(in.Prefix):], in.Delimiter); ok {
			prefixes = append(prefixes, in.Prefix+head+in.Delimiter)
		}
	}
	slices.Sort(prefixes)
	return sdk.ListCommonPrefixesResult{Prefixes: slices.Compact(prefixes)}, nil
}

func (s *dirStore) DeleteObject(_ context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	path, err := s.path(in.Bucket, in.Key)
	if err != nil {
		return sdk.DeleteObjectResult{}, err
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return sdk.DeleteObjectResult{}, err
	}
	return sdk.DeleteObjectResult{}, nil
}

func (s *dirStore) CreateSignedURL(_ context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	if _, err := s.path(in.Bucket, in.Key); err != nil {
		return sdk.CreateSignedURLResult{}, err
	}
	until := strconv.FormatInt(time.Now().Add(in.TTL).UnixMilli(), 10)
	query := url.Values{"bucket": {in.Bucket}, "key": {in.Key}, "until": {until}, "signature": {signature(in.Bucket, in.Key, until)}}
	return sdk.CreateSignedURLResult{URL: s.config.Load().url + "/?" + query.Encode()}, nil
}

func signature(bucket, key, until string) string {
	mac := hmac.New(sha256.New, []byte(signKey))
	fmt.Fprintf(mac, "%q %q %q", bucket, key, until)
	return hex.EncodeToString(mac.Sum(nil))
}

// fileServer serves signed URLs of a dirStore.
func fileServer(root string) http.Handler {
	config := &dirConfig{root: root}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, key, until := r.FormValue("bucket"), r.FormValue("key"), r.FormValue("until")
		end, err := strconv.ParseInt(until, 10, 64)
		if err != nil || r.FormValue("signature") != signature(bucket, key, until) || time.Now().UnixMilli() > end {
			http.Error(w, "the URL has expired or was not signed here", http.StatusForbidden)
			return
		}
		path, err := config.path(bucket, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.ServeFile(w, r, path)
	})
}
