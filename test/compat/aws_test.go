package compat

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/independent"
)

// partSize is that of the aws store's default configuration, in bytes.
const partSize = 5 << 20

// awsProvider is the provider whose protocol S3 is.
var awsProvider = provider{
	name:     "aws",
	guide:    "../../docs/aws.md",
	newStore: func(log *slog.Logger) sdk.ObjectStore { return s3.New(log) },
	partSize: partSize,
	absent:   s3.CodeNoSuchKey,
	given:    givenS3,
	checks:   s3Checks(),
	servers: []server{
		{
			name:   "MinIO",
			module: "github.com/minio/minio",
			start: func(t testing.TB) endpoint {
				m := stores.MinIO(t)
				return s3Endpoint{m.Endpoint, stack.Region, m.AccessKey, m.SecretKey, func() (*minio.Client, error) { return m.Client(m.Endpoint) }}
			},
		},
		{
			name:   "Versity S3 Gateway, on a file system",
			module: "github.com/versity/versitygw",
			start:  func(t testing.TB) endpoint { return s3EndpointOf(&stores.VersityGW(t).S3Server) },
		},
		{
			name:   "rclone serve s3, on a file system",
			module: "github.com/rclone/rclone",
			start:  func(t testing.TB) endpoint { return s3EndpointOf(stores.Rclone(t)) },
			limits: map[string]limit{
				damageDefault: {"5242881 bytes that were changed", "checksums of parts are not compared"},
				damageSigned:  {"1000 bytes that were changed", "the signed hash of the payload is not compared; set checksumAlgorithm to `CRC32`"},
			},
		},
	},
}

// The address and the credentials of a server that is not part of the stack.
const (
	serverEnv    = "OADP_S3_SERVER"
	accessKeyEnv = "OADP_S3_ACCESS_KEY"
	secretKeyEnv = "OADP_S3_SECRET_KEY"
	regionEnv    = "OADP_S3_REGION"
)

// givenS3 returns the server that the environment names.
func givenS3() (server, bool) {
	url := os.Getenv(serverEnv)
	s := &stack.S3Server{
		Endpoint: url, Region: cmp.Or(os.Getenv(regionEnv), "us-east-1"),
		AccessKey: os.Getenv(accessKeyEnv), SecretKey: os.Getenv(secretKeyEnv),
	}
	return server{name: url, start: func(testing.TB) endpoint { return s3EndpointOf(s) }}, url != ""
}

// s3Endpoint is how an S3 server is reached.
type s3Endpoint struct {
	url, region, accessKey, secretKey string
	newClient                         func() (*minio.Client, error)
}

func s3EndpointOf(s *stack.S3Server) s3Endpoint {
	return s3Endpoint{s.Endpoint, s.Region, s.AccessKey, s.SecretKey, s.Client}
}

// s3Bucket is what the checks of S3 need beside what all have.
type s3Bucket struct {
	s3Endpoint
	client *minio.Client
	proxy  *s3proxy.Proxy
	dir    string
}

func ofAWS(s *scene) *s3Bucket { return s.of.(*s3Bucket) }

// newBucket implements endpoint.
func (e s3Endpoint) newBucket(t *testing.T) (bucket, error) {
	t.Helper()
	client, err := e.newClient()
	if err != nil {
		return bucket{}, err
	}
	b := &s3Bucket{s3Endpoint: e, client: client, proxy: s3proxy.NewTLS(t, e.url, nil, s3proxy.Strict()...), dir: t.TempDir()}
	name := "compat-" + strings.ToLower(rand.Text()[:12])
	if err := client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: e.region}); err != nil {
		return bucket{}, err
	}
	credentials, err := b.credentials(e.accessKey, e.secretKey)
	return bucket{
		name: name,
		config: map[string]string{
			"bucket": name, "prefix": "", "region": e.region, "s3Url": b.proxy.URL, "caCert": string(b.proxy.CAPEM),
			"s3ForcePathStyle": "true", "credentialsFile": credentials,
		},
		client:  independent.S3{Client: client, Bucket: name},
		network: s3Network{b.proxy},
		of:      b,
	}, err
}

// credentials writes a file with a key.
func (b *s3Bucket) credentials(id, secret string) (path string, err error) {
	path = filepath.Join(b.dir, rand.Text())
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// s3Network implements network.
type s3Network struct{ proxy *s3proxy.Proxy }

func (n s3Network) breakDownloads(times int, after int64) {
	n.proxy.Inject(times, s3proxy.Operations("GetObject"), inject.ResetResponse(after))
}

func (n s3Network) downloads() int { return n.proxy.Count("GetObject") }

func (n s3Network) uploadedParts() int { return n.proxy.Count("UploadPart") }

// Checks that servers are known to fail.
const (
	damageDefault = "damage on the way is noticed, checksumAlgorithm not set"
	damageSigned  = "damage on the way is noticed, checksumAlgorithm `\"\"`"
)

// s3Checks are the checks of what only S3 has.
func s3Checks() []check {
	all := []check{
		{"signed URLs", signed},
		{"tagging", tags},
		{"errors say what is wrong", refusals},
	}
	for _, algorithm := range []string{"absent", "", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		name := "checksumAlgorithm `" + algorithm + "`"
		switch algorithm {
		case "absent":
			name = "checksumAlgorithm not set"
		case "":
			name = "checksumAlgorithm `\"\"`"
		}
		all = append(all, check{name, func(s *scene) error { return checksums(s, algorithm) }})
	}
	return append(all,
		check{damageDefault, func(s *scene) error { return damage(s) }},
		check{damageSigned, func(s *scene) error { return damage(s, "checksumAlgorithm", "") }},
	)
}

func signed(s *scene) error {
	const key = "backups/b/a b+ü.tar.gz"
	public := ofAWS(s).url
	store, err := s.store("publicUrl", public)
	if err != nil {
		return err
	}
	body := random(1000)
	if err := s.roundTrip(store, key, body); err != nil {
		return err
	}
	signed, err := store.CreateSignedURL(s.ctx, sdk.CreateSignedURLInput{Bucket: s.name, Key: key, TTL: 10 * time.Minute})
	if err != nil {
		return err
	}
	if !strings.HasPrefix(signed.URL, public) {
		return fmt.Errorf("the URL points to %s", signed.URL)
	}
	status, got, err := fetch(s.ctx, signed.URL)
	if err != nil || status != http.StatusOK || !bytes.Equal(got, body) {
		return fmt.Errorf("the URL gives %d, %d bytes, %v", status, len(got), err)
	}
	for _, change := range []string{"X-Amz-Expires", "X-Amz-Signature"} {
		u, err := url.Parse(signed.URL)
		if err != nil {
			return err
		}
		query := u.Query()
		query.Set(change, query.Get(change)+"0")
		u.RawQuery = query.Encode()
		if status, _, err := fetch(s.ctx, u.String()); err != nil || status < 400 || status > 499 {
			return fmt.Errorf("with another %s the URL gives %d, %v", change, status, err)
		}
	}
	return nil
}

func fetch(ctx context.Context, link string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

func tags(s *scene) error {
	store, err := s.store("tagging", "team=backup&cost centre=42")
	if err != nil {
		return err
	}
	for _, size := range []int{10, partSize + 1} {
		key := fmt.Sprint(size)
		if err := s.roundTrip(store, key, random(size)); err != nil {
			return err
		}
		set, err := ofAWS(s).client.GetObjectTagging(s.ctx, s.name, key, minio.GetObjectTaggingOptions{})
		if err != nil {
			return fmt.Errorf("the tags of an object of %d bytes: %w", size, err)
		}
		if m := set.ToMap(); len(m) != 2 || m["team"] != "backup" || m["cost centre"] != "42" {
			return fmt.Errorf("the tags of an object of %d bytes: %v", size, m)
		}
	}
	return nil
}

// refusals checks the errors of the commonest mistakes.
func refusals(s *scene) error {
	unknown, err := ofAWS(s).credentials("nobody", ofAWS(s).secretKey)
	if err != nil {
		return err
	}
	wrong, err := ofAWS(s).credentials(ofAWS(s).accessKey, "wrong-secret")
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name    string
		changes []string
		bucket  string
		code    fault.Code
	}{
		{"unknown key", []string{"credentialsFile", unknown}, s.name, awsaccess.CodeUnknownAccessKey},
		{"wrong secret", []string{"credentialsFile", wrong}, s.name, awsaccess.CodeWrongSecretKey},
		{"absent bucket", nil, "compat-no-such-bucket", s3.CodeNoSuchBucket},
	} {
		store, err := s.store(c.changes...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		_, listErr := store.ListCommonPrefixes(s.ctx, sdk.ListCommonPrefixesInput{Bucket: c.bucket, Delimiter: "/"})
		_, putErr := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: c.bucket, Key: "k", Body: bytes.NewReader(random(10))})
		_, largeErr := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: c.bucket, Key: "k", Body: bytes.NewReader(random(partSize + 1))})
		for call, err := range map[string]error{"list": listErr, "put": putErr, "multipart": largeErr} {
			if !errors.Is(err, c.code) {
				return fmt.Errorf("%s: %s: %v", c.name, call, err)
			}
		}
	}
	return nil
}

// checksums puts objects with an algorithm.
func checksums(s *scene, algorithm string) error {
	var changes []string
	if algorithm != "absent" {
		changes = []string{"checksumAlgorithm", algorithm}
	}
	store, err := s.store(changes...)
	if err != nil {
		return err
	}
	for _, size := range []int{1000, 2*partSize + 7} {
		if err := s.roundTrip(store, fmt.Sprint(size), random(size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

// damage changes what is sent, and wants the server to refuse it.
func damage(s *scene, changes ...string) error {
	store, err := s.store(changes...)
	if err != nil {
		return err
	}
	ofAWS(s).proxy.Inject(inject.Always, s3proxy.Operations("PutObject", "UploadPart"), inject.Damage())
	for _, size := range []int{1000, partSize + 1} {
		key := fmt.Sprint(size)
		err := s.put(store, key, bytes.NewReader(random(size)))
		if err == nil {
			return fmt.Errorf("%d bytes that were changed on the way are taken", size)
		}
		if !errors.Is(err, s3.CodeDamaged) {
			return err
		}
		if found, err := s.exists(store, key); found || err != nil {
			return fmt.Errorf("%d damaged bytes are visible: %v, %v", size, found, err)
		}
	}
	return nil
}
