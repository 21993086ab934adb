package open_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/minio-go/v7"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO, tools.Azurite) }

const (
	namespace = "openshift-adp"
	name      = "default"
)

// scene is a backup storage location with a bucket, the secrets beside it and an
// independent client.
type scene struct {
	t      testing.TB
	minio  *stack.MinIO
	bucket string
	client *minio.Client

	provider      string
	config        map[string]any
	objectStorage map[string]any
	credential    string // key of the secret mine, "" for none
	secrets       map[string]map[string][]byte
	labels        map[string]any // of the location
	env           map[string]string
}

// overTLS and overHTTP name the two servers.
const (
	overTLS  = true
	overHTTP = false
)

func newScene(t testing.TB, secure bool) *scene {
	t.Helper()
	bare(t)
	m := servers.MinIO(t)
	s := &scene{t: t, minio: m, bucket: m.NewBucket(t), provider: "aws", env: map[string]string{}}
	endpoint := m.Endpoint
	s.objectStorage = map[string]any{"bucket": s.bucket, "prefix": "velero"}
	if secure {
		endpoint = m.TLSEndpoint
		s.objectStorage["caCertRef"] = map[string]any{"name": "trust", "key": "ca.crt"}
	}
	var err error
	if s.client, err = m.Client(endpoint); err != nil {
		t.Fatal(err)
	}
	s.config = map[string]any{"region": stack.Region, "s3Url": endpoint, "multipartPartSizeMiB": "5"}
	s.secrets = map[string]map[string][]byte{
		"trust": {"ca.crt": m.CAPEM},
		"oadp-default-aws-registry-secret": {
			"access_key": []byte(m.AccessKey), "secret_key": []byte(m.SecretKey),
		},
	}
	return s
}

// bare empties the environment of all that has to do with AWS.
func bare(t testing.TB) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL",
	} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// only leaves a location's own credential of the given content, and nothing else
// that opens the bucket.
func (s *scene) only(content string) {
	delete(s.secrets, "oadp-default-aws-registry-secret")
	s.secrets["mine"], s.credential = map[string][]byte{"cloud": []byte(content)}, "cloud"
}

// object is the location as the API gives it.
func (s *scene) object() map[string]any {
	spec := map[string]any{"provider": s.provider, "objectStorage": s.objectStorage, "config": s.config}
	if s.credential != "" {
		spec["credential"] = map[string]any{"name": "mine", "key": s.credential}
	}
	return map[string]any{
		"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation",
		"metadata": map[string]any{"namespace": namespace, "name": name, "labels": s.labels}, "spec": spec,
	}
}

// find finds the credential of the location as the plugin does.
func (s *scene) find() (*registrysecret.Found, error) {
	finder := registrysecret.Finder{
		Location: func(context.Context, string, string) (map[string]any, error) { return s.object(), nil },
		Secret: func(_ context.Context, _, name string) (*registrysecret.Secret, error) {
			data, ok := s.secrets[name]
			if !ok {
				return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
			}
			return &registrysecret.Secret{Data: maps.Clone(data)}, nil
		},
		Ambient: open.Ambient,
	}
	return finder.Find(s.t.Context(), registrysecret.Request{Namespace: namespace, Location: name})
}

func (s *scene) open() (*open.Opened, error) {
	s.t.Helper()
	found, err := s.find()
	if err != nil {
		return nil, err
	}
	return open.Bucket(s.t.Context(), found, slog.New(slog.DiscardHandler))
}

// mustOpen opens the bucket until the end of the test.
func (s *scene) mustOpen() *open.Opened {
	s.t.Helper()
	b, err := s.open()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { b.Close() })
	return b
}

// nothingLeft fails when the object is there or a part of an upload is.
func (s *scene) nothingLeft(key string) {
	s.t.Helper()
	ctx := context.Background()
	if _, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{}); minio.ToErrorResponse(err).StatusCode != http.StatusNotFound {
		s.t.Errorf("object %s is visible: %v", key, err)
	}
	for upload := range s.client.ListIncompleteUploads(ctx, s.bucket, key, true) {
		s.t.Errorf("upload of %s is left behind: %+v", key, upload)
	}
}

func get(ctx context.Context, b objectstore.Bucket, key string) ([]byte, error) {
	r, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func file(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keys(id, secret string) string {
	return fmt.Sprintf("aws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
}

// stream hides what else a reader can do.
func stream(data []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }

// lostBucket opens a bucket that does not exist.
func (s *scene) lostBucket() objectstore.Bucket {
	s.t.Helper()
	before := s.objectStorage
	s.objectStorage = map[string]any{"bucket": "no-such-bucket-here"}
	defer func() { s.objectStorage = before }()
	return s.mustOpen()
}
