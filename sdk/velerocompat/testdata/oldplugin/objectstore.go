package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// objectStore has a directory for each bucket and a file for each object.
type objectStore struct {
	log    logrus.FieldLogger
	config atomic.Pointer[map[string]string]
}

func newObjectStore(log logrus.FieldLogger) (any, error) {
	return &objectStore{log: log}, nil
}

func (o *objectStore) Init(config map[string]string) error {
	for key := range config {
		if !slices.Contains([]string{"root", "url", "bucket", "prefix"}, key) {
			return fmt.Errorf("config has the unknown key %s", key)
		}
	}
	o.log.WithField("root", config["root"]).Debug("Init")
	o.config.Store(&config)
	return nil
}

func (o *objectStore) bucket(name string) (string, error) {
	config := o.config.Load()
	if config == nil {
		return "", errors.New("the store is not initialized")
	}
	dir := filepath.Join((*config)["root"], name)
	_, err := os.Stat(dir)
	return dir, err
}

func (o *objectStore) file(bucket, key string) (string, error) {
	dir, err := o.bucket(bucket)
	return filepath.Join(dir, url.QueryEscape(key)), err
}

func (o *objectStore) PutObject(bucket, key string, body io.Reader) error {
	file, err := o.file(bucket, key)
	if err != nil {
		return err
	}
	upload, err := os.CreateTemp((*o.config.Load())["root"], "upload-")
	if err != nil {
		return err
	}
	defer os.Remove(upload.Name())
	_, err = io.Copy(upload, body)
	if err = errors.Join(err, upload.Close()); err != nil {
		o.log.WithError(err).Info("The upload has ended")
		return err
	}
	return os.Rename(upload.Name(), file)
}

func (o *objectStore) ObjectExists(bucket, key string) (bool, error) {
	file, err := o.file(bucket, key)
	if err != nil {
		return false, err
	}
	_, err = os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (o *objectStore) GetObject(bucket, key string) (io.ReadCloser, error) {
	file, err := o.file(bucket, key)
	if err != nil {
		return nil, err
	}
	return os.Open(file)
}

func (o *objectStore) ListCommonPrefixes(bucket, prefix, delimiter string) ([]string, error) {
	keys, err := o.ListObjects(bucket, prefix)
	var prefixes []string
	for _, key := range keys {
		if head, _, cut := strings.Cut(key[len(prefix):], delimiter); cut {
			prefixes = append(prefixes, prefix+head+delimiter)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), err
}

func (o *objectStore) ListObjects(bucket, prefix string) ([]string, error) {
	dir, err := o.bucket(bucket)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	var keys []string
	for _, entry := range entries {
		key, err := url.QueryUnescape(entry.Name())
		if err == nil && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, err
}

func (o *objectStore) DeleteObject(bucket, key string) error {
	file, err := o.file(bucket, key)
	if err != nil {
		return err
	}
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// CreateSignedURL points to a server that the tests run.
func (o *objectStore) CreateSignedURL(bucket, key string, ttl time.Duration) (string, error) {
	file, err := o.file(bucket, key)
	if err != nil {
		return "", err
	}
	until := strconv.FormatInt(time.Now().Add(ttl).UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte("of the tests' file server"))
	fmt.Fprintf(mac, "%s %s", file, until)
	query := url.Values{"file": {file}, "until": {until}, "signature": {hex.EncodeToString(mac.Sum(nil))}}
	return (*o.config.Load())["url"] + "/?" + query.Encode(), nil
}
