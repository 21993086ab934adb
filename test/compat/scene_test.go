package compat

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
)

// scene is an empty bucket of a server, with the configuration of a location in
// it and a client that shares no code with the store.
type scene struct {
	ctx    context.Context
	server endpoint
	proxy  *s3proxy.Proxy
	bucket string
	config map[string]string
	client *minio.Client
	dir    string
	log    io.Writer
}

func newScene(t *testing.T, server endpoint) *scene {
	t.Helper()
	client, err := server.client()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{
		ctx:    t.Context(),
		server: server,
		proxy:  s3proxy.NewTLS(t, server.url, nil, s3proxy.Strict()...),
		bucket: "compat-" + strings.ToLower(rand.Text()[:12]),
		client: client,
		dir:    t.TempDir(),
		log:    t.Output(),
	}
	if err := client.MakeBucket(s.ctx, s.bucket, minio.MakeBucketOptions{Region: server.region}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	credentials, err := s.credentials(server.accessKey, server.secretKey)
	if err != nil {
		t.Fatal(err)
	}
	s.config = map[string]string{
		"bucket": s.bucket, "prefix": "", "region": server.region, "s3Url": s.proxy.URL, "caCert": string(s.proxy.CAPEM),
		"s3ForcePathStyle": "true", "credentialsFile": credentials,
	}
	return s
}

// credentials writes a file with a key.
func (s *scene) credentials(id, secret string) (path string, err error) {
	path = filepath.Join(s.dir, rand.Text())
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// store returns a store with the scene's configuration and the given changes.
func (s *scene) store(changes ...string) (*s3.Store, error) {
	config := maps.Clone(s.config)
	for i := 0; i < len(changes); i += 2 {
		config[changes[i]] = changes[i+1]
	}
	store := s3.New(slog.New(slog.NewTextHandler(s.log, nil)))
	_, err := store.Init(s.ctx, sdk.InitInput{Config: config})
	return store, err
}

// roundTrip puts an object, and reads it with the store and with the client.
func (s *scene) roundTrip(store *s3.Store, key string, body []byte) error {
	if _, err := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: bytes.NewReader(body)}); err != nil {
		return err
	}
	got, err := s.read(store, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("%s: %d of %d bytes come back, or others", key, len(got), len(body))
	}
	return s.holds(key, body)
}

func (s *scene) read(store *s3.Store, key string) ([]byte, error) {
	object, err := store.GetObject(s.ctx, sdk.GetObjectInput{Bucket: s.bucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}

// holds checks an object with the client.
func (s *scene) holds(key string, body []byte) error {
	o, err := s.client.GetObject(s.ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err != nil {
		return fmt.Errorf("the client reads %s: %w", key, err)
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("the client reads other bytes of %s", key)
	}
	return nil
}

// partSize is that of the store's default configuration, in bytes.
const partSize = 5 << 20

// random returns n bytes that do not compress, the same for the same n.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = mathrand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}
