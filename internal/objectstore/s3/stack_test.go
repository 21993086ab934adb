package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO) }

// partSize is the smallest that the configuration allows, to keep tests quick.
const partSize = 5 << 20

// scene is a bucket with a store under test and an independent client.
type scene struct {
	t        testing.TB
	minio    *stack.MinIO
	endpoint string // of the real server
	bucket   string
	client   *minio.Client
	config   map[string]string
	log      *testlog.Log
}

// overTLS and overHTTP name the two servers.
const (
	overTLS  = true
	overHTTP = false
)

func newScene(t testing.TB, secure bool) *scene {
	t.Helper()
	m := servers.MinIO(t)
	s := &scene{t: t, minio: m, endpoint: m.Endpoint, bucket: m.NewBucket(t), log: testlog.New()}
	if secure {
		s.endpoint = m.TLSEndpoint
	}
	var err error
	if s.client, err = m.Client(s.endpoint); err != nil {
		t.Fatal(err)
	}
	s.config = map[string]string{
		"bucket": s.bucket, "prefix": "", "region": stack.Region, "s3Url": s.endpoint, "s3ForcePathStyle": "true",
		"multipartPartSizeMiB": "5", "credentialsFile": credentialsFile(t, m.AccessKey, m.SecretKey),
	}
	if secure {
		s.config["caCert"] = string(m.CAPEM)
	}
	return s
}

// behind puts a proxy between the store and the server.
func (s *scene) behind(rules ...s3proxy.Rule) *s3proxy.Proxy {
	s.t.Helper()
	start := s3proxy.New
	if strings.HasPrefix(s.endpoint, "https://") {
		start = s3proxy.NewTLS
	}
	p := start(s.t, s.endpoint, s.minio.Transport(), rules...)
	s.config["s3Url"] = p.URL
	if p.CAPEM != nil {
		s.config["caCert"] = string(p.CAPEM)
	}
	return p
}

// store returns a store with the scene's configuration and the given changes; a
// value of "-" removes a key.
func (s *scene) store(changes ...string) *s3.Store {
	s.t.Helper()
	store := s3.New(s.log.Logger())
	if _, err := store.Init(s.t.Context(), sdk.InitInput{Config: s.with(changes...)}); err != nil {
		s.t.Fatalf("Init: %v", err)
	}
	return store
}

func (s *scene) with(changes ...string) map[string]string {
	config := maps.Clone(s.config)
	for i := 0; i < len(changes); i += 2 {
		config[changes[i]] = changes[i+1]
		if changes[i+1] == "-" {
			delete(config, changes[i])
		}
	}
	return config
}

// content reads an object with the independent client.
func (s *scene) content(key string) []byte {
	s.t.Helper()
	return s.decrypted(key, nil)
}

func (s *scene) decrypted(key string, with encrypt.ServerSide) []byte {
	s.t.Helper()
	o, err := s.client.GetObject(s.t.Context(), s.bucket, key, minio.GetObjectOptions{ServerSideEncryption: with})
	if err != nil {
		s.t.Fatal(err)
	}
	defer o.Close()
	data, err := io.ReadAll(o)
	if err != nil {
		s.t.Fatalf("read %s: %v", key, err)
	}
	return data
}

// add writes an object with the independent client.
func (s *scene) add(key string, data []byte) {
	s.t.Helper()
	_, err := s.client.PutObject(s.t.Context(), s.bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// nothingLeft fails when the object is there or a part of an upload is.
func (s *scene) nothingLeft(key string) {
	s.t.Helper()
	ctx := context.Background()
	if _, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{}); minio.ToErrorResponse(err).StatusCode != http.StatusNotFound {
		s.t.Errorf("object %s is visible: %v", key, err)
	}
	// MinIO lists uploads of a complete key only.
	for upload := range s.client.ListIncompleteUploads(ctx, s.bucket, key, true) {
		s.t.Errorf("upload of %s is left behind: %+v", key, upload)
	}
}

func read(t testing.TB, store *s3.Store, bucket, key string) ([]byte, error) {
	t.Helper()
	object, err := store.GetObject(t.Context(), sdk.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}

func credentialsFile(t testing.TB, key, secret string, more ...string) string {
	t.Helper()
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key, secret)
	return file(t, "credentials", text+strings.Join(more, "\n"))
}

func file(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}
