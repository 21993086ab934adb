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

func (s *dirStore) Init(_ context.Context, config map[string]string) error {
	for key := range config {
		if !slices.Contains([]string{"root", "url", "bucket", "prefix"}, key) {
			return fmt.Errorf("config has the unknown key %s", key)
		}
	}
	s.config.Store(&dirConfig{config["root"], config["url"]})
	return nil
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

func (s *dirStore) PutObject(ctx context.Context, bucket, key string, body io.Reader) error {
	path, err := s.path(bucket, key)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Join(s.config.Load().root, "uploads"), "")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, ctx.Err(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (s *dirStore) ObjectExists(_ context.Context, bucket, key string) (bool, error) {
	path, err := s.path(bucket, key)
	if err != nil {
		return false, err
	}
	_, err = os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (s *dirStore) GetObject(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	path, err := s.path(bucket, key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &dirReader{f, s}, nil
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

func (s *dirStore) ListObjects(_ context.Context, bucket, prefix string) ([]string, error) {
	path, err := s.path(bucket, "")
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Dir(filepath.Join(path, "x")))
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, e := range entries {
		key, err := url.PathUnescape(e.Name())
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (s *dirStore) ListCommonPrefixes(ctx context.Context, bucket, prefix, delimiter string) ([]string, error) {
	keys, err := s.ListObjects(ctx, bucket, prefix)
	if err != nil {
		return nil, err
	}
	var prefixes []string
	for _, key := range keys {
		if head, _, ok := strings.Cut(key[len(prefix):], delimiter); ok {
			prefixes = append(prefixes, prefix+head+delimiter)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), nil
}

func (s *dirStore) DeleteObject(_ context.Context, bucket, key string) error {
	path, err := s.path(bucket, key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s *dirStore) CreateSignedURL(_ context.Context, bucket, key string, ttl time.Duration) (string, error) {
	if _, err := s.path(bucket, key); err != nil {
		return "", err
	}
	until := strconv.FormatInt(time.Now().Add(ttl).UnixMilli(), 10)
	query := url.Values{"bucket": {bucket}, "key": {key}, "until": {until}, "signature": {signature(bucket, key, until)}}
	return s.config.Load().url + "/?" + query.Encode(), nil
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
