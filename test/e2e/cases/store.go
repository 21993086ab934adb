package cases

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Store is a server for objects with the plugin that keeps backups there.
type Store interface {
	// Name is that of the plugin's provider, such as "aws".
	Name() string
	// Endpoint is the address of the server over plain HTTP.
	Endpoint() string
	// AddressKey is the key in the config of a location that holds the server's
	// address, such as "s3Url".
	AddressKey() string
	NewBucket(t testing.TB) string
	// Location is a location at the address over TLS.
	Location(name, bucket string) stack.Location
	// CAFile is the path of the certificate authority of that address.
	CAFile() string
	// Objects are the keys in a bucket.
	Objects(ctx context.Context, bucket string) ([]string, error)
	// Remove removes an object behind the plugin's back.
	Remove(ctx context.Context, t testing.TB, bucket, key string)
}

func objects(ctx context.Context, t *testing.T, store Store, bucket string) int {
	t.Helper()
	keys, err := store.Objects(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	return len(keys)
}

// MinIO is the store of the aws plugin.
func MinIO(t testing.TB, servers *stack.Stack) Store { return s3Store{servers.MinIO(t)} }

type s3Store struct{ *stack.MinIO }

func (s s3Store) Name() string       { return "aws" }
func (s s3Store) Endpoint() string   { return s.MinIO.Endpoint }
func (s s3Store) AddressKey() string { return "s3Url" }
func (s s3Store) CAFile() string     { return s.MinIO.CAFile }

func (s s3Store) Location(name, bucket string) stack.Location { return s.S3Location(name, bucket) }

func (s s3Store) Objects(ctx context.Context, bucket string) (keys []string, err error) {
	client, err := s.Client(s.TLSEndpoint)
	if err != nil {
		return nil, err
	}
	for object := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		keys = append(keys, object.Key)
	}
	return keys, nil
}

func (s s3Store) Remove(ctx context.Context, t testing.TB, bucket, key string) {
	t.Helper()
	client, err := s.Client(s.TLSEndpoint)
	if err == nil {
		err = client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Azurite is the store of the azure plugin.
func Azurite(t testing.TB, servers *stack.Stack) Store {
	t.Helper()
	a := servers.Azurite(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return azureStore{a, file}
}

type azureStore struct {
	*stack.Azurite
	caFile string
}

func (s azureStore) Name() string       { return "azure" }
func (s azureStore) Endpoint() string   { return s.Azurite.Endpoint }
func (s azureStore) AddressKey() string { return "storageAccountURI" }
func (s azureStore) CAFile() string     { return s.caFile }

func (s azureStore) NewBucket(t testing.TB) string { return s.NewContainer(t) }

func (s azureStore) Location(name, bucket string) stack.Location {
	return stack.Location{
		Name: name, Provider: "velero.io/azure", Bucket: bucket, CAPEM: s.CAPEM,
		Config: map[string]string{
			"storageAccount": s.Account, "storageAccountURI": s.TLSEndpoint, "storageAccountKeyEnvVar": "AZURE_STORAGE_ACCOUNT_ACCESS_KEY",
		},
		Credential: fmt.Appendf(nil, "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=%s\nAZURE_CLOUD_NAME=AzurePublicCloud\n", s.Key),
	}
}

func (s azureStore) Objects(ctx context.Context, bucket string) (keys []string, err error) {
	for _, endpoint := range []string{s.Azurite.Endpoint, s.TLSEndpoint} { // their data are separate
		client, err := s.Client(endpoint)
		if err != nil {
			return nil, err
		}
		pages := client.NewContainerClient(bucket).NewListBlobsFlatPager(nil)
		for pages.More() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, blob := range page.Segment.BlobItems {
				keys = append(keys, *blob.Name)
			}
		}
	}
	return keys, nil
}

func (s azureStore) Remove(ctx context.Context, t testing.TB, bucket, key string) {
	t.Helper()
	client, err := s.Client(s.Azurite.Endpoint)
	if err == nil {
		_, err = client.NewContainerClient(bucket).NewBlobClient(key).Delete(ctx, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refusingProxy forwards requests to a store. While it is on it answers 403 to each
// GET of an object whose key ends in a text, such as "nightly.tar.gz".
type refusingProxy struct {
	address string
	on      atomic.Bool
}

func newRefusingProxy(t *testing.T, endpoint, end string) *refusingProxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &refusingProxy{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.Out.Host = r.In.Host // which is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.on.Load() && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, end) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.address = server.URL + target.Path
	return p
}
