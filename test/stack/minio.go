package stack

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// Region is the region that the MinIO servers report.
const Region = "minio"

// MinIO is two servers with the same credentials and separate data: one over
// TLS with a KMS key, so that every kind of server-side encryption works, and
// one over plain HTTP without, which refuses them.
type MinIO struct {
	// Endpoint and TLSEndpoint are base URLs.
	Endpoint, TLSEndpoint string
	// CAPEM is the certificate authority of the TLS endpoint.
	CAPEM []byte
	// CAFile is the path of the same.
	CAFile string
	// AccessKey and SecretKey may do everything.
	AccessKey, SecretKey string
	// KMSKeyID is the one key of the TLS endpoint.
	KMSKeyID string
	// RoleARN is the role of service accounts at the TLS endpoint, which also
	// serves STS. It is empty without an issuer of their tokens.
	RoleARN string
	// Console and TLSConsole are the base URLs of the web consoles. They are
	// empty unless asked for.
	Console, TLSConsole string

	plain, secure *server
}

// MinIOOptions chooses what StartMinIO starts.
type MinIOOptions struct {
	// TLSOnly leaves out the plain server.
	TLSOnly bool
	// Console adds the web consoles.
	Console bool
	// Issuer is a cluster whose service accounts may assume a role that may do
	// everything, with a token for TokenAudience.
	Issuer *ControlPlane
}

// TokenAudience is what tokens for MinIO's STS have to be for.
const TokenAudience = "sts.amazonaws.com"

// MinIO returns the servers that the tests of a package share. The first call
// starts them.
func (s *Stack) MinIO(t testing.TB) *MinIO {
	t.Helper()
	m := s.minio.get(t, func(ctx context.Context) (*MinIO, error) { return s.StartMinIO(ctx, MinIOOptions{}) })
	m.plain.attach(t)
	m.secure.attach(t)
	return m
}

// StartMinIO starts the servers and waits until they serve.
func (s *Stack) StartMinIO(ctx context.Context, options MinIOOptions) (*MinIO, error) {
	m := &MinIO{AccessKey: "minioadmin", SecretKey: rand.Text(), KMSKeyID: "stack-key"}
	if err := s.startSecureMinIO(m, options); err != nil {
		return nil, err
	}
	if !options.TLSOnly {
		if err := s.startPlainMinIO(m, options); err != nil {
			return nil, err
		}
		if err := m.plain.await(ctx, get(http.DefaultTransport, m.Endpoint+"/minio/health/ready")); err != nil {
			return nil, err
		}
	}
	return m, m.secure.await(ctx, get(m.Transport(), m.TLSEndpoint+"/minio/health/ready"))
}

// roleARN is the name that MinIO gives to the role of tokens for an audience.
func roleARN(audience string) string {
	id := sha1.Sum([]byte(audience))
	return "arn:minio:iam:" + Region + "::role/" + base64.RawURLEncoding.EncodeToString(id[:])
}

// trustIssuer makes MinIO take the tokens of a cluster.
func trustIssuer(certs string, c *ControlPlane) (env []string, err error) {
	if c == nil {
		return nil, nil
	}
	authorities := filepath.Join(certs, "CAs")
	if err := os.MkdirAll(authorities, 0o700); err != nil {
		return nil, err
	}
	return []string{
		"MINIO_IDENTITY_OPENID_CONFIG_URL=https://" + c.address + "/.well-known/openid-configuration",
		"MINIO_IDENTITY_OPENID_CLIENT_ID=" + TokenAudience,
		"MINIO_IDENTITY_OPENID_ROLE_POLICY=consoleAdmin",
	}, writeFiles(authorities, map[string][]byte{"cluster.crt": c.creds.ca})
}

func (s *Stack) startPlainMinIO(m *MinIO, options MinIOOptions) (err error) {
	m.plain, m.Endpoint, m.Console, err = s.startMinIO("minio", m, "http", options)
	return err
}

func (s *Stack) startSecureMinIO(m *MinIO, options MinIOOptions) error {
	certs, err := s.folder("minio-certs")
	if err != nil {
		return err
	}
	ca, err := NewAuthority("MinIO of the test stack")
	if err != nil {
		return err
	}
	m.CAPEM, m.CAFile = ca.PEM, filepath.Join(certs, "ca.pem")
	cert, key, err := ca.Issue("minio", net.ParseIP(NodeAddress))
	if err != nil {
		return err
	}
	if err := writeFiles(certs, map[string][]byte{"public.crt": cert, "private.key": key, "ca.pem": ca.PEM}); err != nil {
		return err
	}
	env, err := trustIssuer(certs, options.Issuer)
	if err != nil {
		return err
	}
	if options.Issuer != nil {
		m.RoleARN = roleARN(TokenAudience)
	}
	kmsKey := make([]byte, 32)
	_, _ = rand.Read(kmsKey) // never fails
	env = append(env, "MINIO_KMS_SECRET_KEY="+m.KMSKeyID+":"+base64.StdEncoding.EncodeToString(kmsKey))
	m.secure, m.TLSEndpoint, m.TLSConsole, err = s.startMinIO("minio-tls", m, "https", options, env...)
	return err
}

func (s *Stack) startMinIO(name string, m *MinIO, scheme string, options MinIOOptions, env ...string) (p *server, endpoint, console string, err error) {
	data, err := s.folder("data", name)
	if err != nil {
		return nil, "", "", err
	}
	certs, err := s.folder("minio-certs")
	if err != nil {
		return nil, "", "", err
	}
	if scheme == "http" {
		certs = filepath.Join(certs, "none")
	}
	address, err := s.clientAddress()
	if err != nil {
		return nil, "", "", err
	}
	args := []string{"server", "--quiet", "--address", address, "--certs-dir", certs}
	env = append(env, "MINIO_ROOT_USER="+m.AccessKey, "MINIO_ROOT_PASSWORD="+m.SecretKey,
		"MINIO_SITE_REGION="+Region, "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off")
	if options.Console {
		at, err := s.clientAddress()
		if err != nil {
			return nil, "", "", err
		}
		args = append(args, "--console-address", at)
		console = scheme + "://" + at
	} else {
		env = append(env, "MINIO_BROWSER=off")
	}
	p, err = s.start(name, tools.MinIOServer, env, append(args, data)...)
	return p, scheme + "://" + address, console, err
}

// KillTLS ends the server of the TLS endpoint at once, whatever it is doing.
func (m *MinIO) KillTLS() { m.secure.kill() }

// StartTLS starts the server of the TLS endpoint again after KillTLS, at the same
// address and with the same objects.
func (m *MinIO) StartTLS(ctx context.Context) (err error) {
	if m.secure, err = m.secure.again(); err != nil {
		return err
	}
	return m.secure.await(ctx, get(m.Transport(), m.TLSEndpoint+"/minio/health/ready"))
}

// Transport trusts the certificate authority of the TLS endpoint.
func (m *MinIO) Transport() *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.CAPEM)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// Client is a client of one of the endpoints. It shares no code with the
// object stores under test.
func (m *MinIO) Client(endpoint string) (*minio.Client, error) {
	host, secure := strings.CutPrefix(endpoint, "https://")
	host = strings.TrimPrefix(host, "http://")
	return minio.New(host, &minio.Options{
		Creds:     credentials.NewStaticV4(m.AccessKey, m.SecretKey, ""),
		Secure:    secure,
		Region:    Region,
		Transport: m.Transport(),
	})
}

// NewBucket makes an empty bucket at both endpoints and returns its name. It
// is removed with its content at the end of the test.
func (m *MinIO) NewBucket(t testing.TB) string {
	t.Helper()
	name := "bucket-" + strings.ToLower(rand.Text()[:12])
	for _, endpoint := range []string{m.Endpoint, m.TLSEndpoint} {
		client, err := m.Client(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{Region: Region}); err != nil {
			t.Fatalf("make a bucket at %s: %v", endpoint, err)
		}
		t.Cleanup(func() {
			err := client.RemoveBucketWithOptions(context.Background(), name, minio.RemoveBucketOptions{ForceDelete: true})
			if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchBucket {
				t.Errorf("remove the bucket at %s: %v", endpoint, err)
			}
		})
	}
	return name
}

// get returns a check that a URL answers with status 200.
func get(transport http.RoundTripper, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	}
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
