package kube_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"k8s.io/client-go/rest"
)

func withConfig(config *rest.Config) *kube.Cluster {
	config.Host = "https://cluster"
	return kube.New(func() (*rest.Config, error) { return config, nil })
}

// A token that is replaced is used from then on.
func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	c := withConfig(&rest.Config{BearerToken: "old", BearerTokenFile: path})
	for _, content := range []string{"one\n", "two"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := c.Token(); err != nil || token != content[:3] {
			t.Errorf("%q: %q, %v", content, token, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if token, err := c.Token(); token != "" || !errors.Is(err, kube.CodeNoToken) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the file: %q, %v", token, err)
	}
	if token, err := withConfig(&rest.Config{BearerToken: "plain"}).Token(); err != nil || token != "plain" {
		t.Errorf("%q, %v", token, err)
	}
	if token, err := withConfig(&rest.Config{Username: "admin", Password: "secret"}).Token(); token != "" || !errors.Is(err, kube.CodeNoToken) {
		t.Errorf("with a password: %q, %v", token, err)
	}
}

func TestAuthorities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := withConfig(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: path}})
	if _, err := c.Authorities(); err != nil { // connects
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("authority"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pem, err := c.Authorities(); err != nil || string(pem) != "authority" {
		t.Errorf("%q, %v", pem, err)
	}
	if pem, err := withConfig(&rest.Config{}).Authorities(); err != nil || pem != nil {
		t.Errorf("%q, %v", pem, err)
	}
}
