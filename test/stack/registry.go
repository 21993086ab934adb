package stack

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// Registry is a registry of container images that lets everybody in. It takes
// deletions, foreign layers by their URLs, and indexes of which it does not have
// all manifests.
type Registry struct {
	// Endpoint is the base URL. Names of images begin with Host.
	Endpoint, Host string
	// CAPEM is the certificate authority of an endpoint with TLS.
	CAPEM []byte
	// Folder has the images, unless a bucket does, below docker/registry/v2.
	Folder string

	stack     *Stack
	name      string
	env, args []string
	server    *server
}

// RegistryOptions chooses what StartRegistry starts.
type RegistryOptions struct {
	// TLS makes it serve HTTPS, with a certificate of its own authority.
	TLS bool
	// Bucket keeps the images, from its root; nil is a folder of the run.
	Bucket *RegistryBucket
}

// RegistryBucket is a bucket of MinIO.
type RegistryBucket struct {
	MinIO *MinIO
	// Endpoint is one of MinIO's.
	Endpoint, Name string
	// Redirect sends clients to the bucket for the content of blobs.
	Redirect bool
}

// Registry returns a registry that the tests of a package share; they keep
// apart by the names of repositories. The first call starts it.
func (s *Stack) Registry(t testing.TB) *Registry {
	t.Helper()
	r := s.registry.get(t, func(ctx context.Context) (*Registry, error) { return s.StartRegistry(ctx, RegistryOptions{}) })
	r.Attach(t)
	return r
}

// StartRegistry starts a registry and waits until it serves. Each call starts
// another one.
func (s *Stack) StartRegistry(ctx context.Context, options RegistryOptions) (*Registry, error) {
	address, err := s.clientAddress()
	if err != nil {
		return nil, err
	}
	r := &Registry{
		Endpoint: "http://" + address,
		Host:     address,
		stack:    s,
		name:     s.registryName(),
		env:      []string{"OTEL_TRACES_EXPORTER=none"},
	}
	dir, err := s.folder(r.name)
	if err != nil {
		return nil, err
	}
	config, err := r.configure(dir, options)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config) // which is YAML
	if err != nil {
		return nil, err
	}
	r.args = []string{"serve", filepath.Join(dir, "config.yml")}
	if err := writeFiles(dir, map[string][]byte{"config.yml": text}); err != nil {
		return nil, err
	}
	return r, r.Start(ctx)
}

func (s *Stack) registryName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registries++
	if s.registries == 1 {
		return "registry"
	}
	return fmt.Sprintf("registry-%d", s.registries)
}

// configure returns the registry's configuration, whose files are in dir.
func (r *Registry) configure(dir string, options RegistryOptions) (map[string]any, error) {
	storage, err := r.storage(options.Bucket)
	if err != nil {
		return nil, err
	}
	serve := map[string]any{"addr": r.Host, "secret": rand.Text()}
	if options.TLS {
		if serve["tls"], err = r.certify(dir); err != nil {
			return nil, err
		}
	}
	return map[string]any{
		"version": "0.1",
		"log":     map[string]any{"level": "warn"}, // beside a line for each request
		"http":    serve,
		"storage": storage,
		"validation": map[string]any{"manifests": map[string]any{
			"urls":    map[string]any{"allow": []string{"^https?://"}},
			"indexes": map[string]any{"platforms": "none"},
		}},
	}, nil
}

func (r *Registry) storage(bucket *RegistryBucket) (map[string]any, error) {
	storage := map[string]any{
		"delete":      map[string]any{"enabled": true},
		"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
	}
	if bucket == nil {
		folder, err := r.stack.folder("data", r.name)
		r.Folder = folder
		storage["filesystem"] = map[string]any{"rootdirectory": folder}
		return storage, err
	}
	r.env = append(r.env, "SSL_CERT_FILE="+bucket.MinIO.CAFile)
	storage["redirect"] = map[string]any{"disable": !bucket.Redirect}
	storage["s3"] = map[string]any{
		"bucket": bucket.Name, "region": Region, "regionendpoint": bucket.Endpoint, "forcepathstyle": true,
		"secure":    strings.HasPrefix(bucket.Endpoint, "https:"),
		"accesskey": bucket.MinIO.AccessKey, "secretkey": bucket.MinIO.SecretKey,
	}
	return storage, nil
}

// certify makes the registry's certificate, in dir.
func (r *Registry) certify(dir string) (map[string]any, error) {
	ca, err := NewAuthority("Registry of the test stack")
	if err != nil {
		return nil, err
	}
	cert, key, err := ca.Issue(r.name)
	if err != nil {
		return nil, err
	}
	r.Endpoint, r.CAPEM = "https://"+r.Host, ca.PEM
	certFile, keyFile := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	return map[string]any{"certificate": certFile, "key": keyFile},
		writeFiles(dir, map[string][]byte{filepath.Base(certFile): cert, filepath.Base(keyFile): key})
}

// Transport trusts the registry's certificate authority.
func (r *Registry) Transport() *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CAPEM)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// Attach adds what the registry logs during a test to the test's output, should
// the test fail.
func (r *Registry) Attach(t testing.TB) { r.server.attach(t) }

// Start starts a registry that was stopped or killed, at the same address and
// with the same images.
func (r *Registry) Start(ctx context.Context) (err error) {
	if r.server, err = r.stack.start(r.name, tools.RegistryServer, r.env, r.args...); err != nil {
		return err
	}
	return r.server.await(ctx, get(r.Transport(), r.Endpoint+"/"))
}

// Stop ends the registry in order.
func (r *Registry) Stop() { r.server.stop() }

// Kill ends the registry at once, whatever it is doing.
func (r *Registry) Kill() { r.server.kill() }
