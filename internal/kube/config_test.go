package kube_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"k8s.io/client-go/rest"
)

func kubeconfig(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: one,
clusters: [{name: one, cluster: {server: "https://one"}}, {name: two, cluster: {server: "https://two"}}],
contexts: [{name: one, context: {cluster: one}}, {name: two, context: {cluster: two}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadConfig(t *testing.T) {
	path := kubeconfig(t)
	type result struct {
		host  string
		qps   float32
		burst int
	}
	for _, c := range []struct {
		what, env string
		args      []string
		want      result
	}{
		{"environment", path, nil, result{"https://one", 100, 100}},
		{"flags", "/absent", []string{"--kubeconfig", path, "--kubecontext=two"}, result{"https://two", 100, 100}},
		{"limits", path, []string{"--client-qps=500", "--client-burst", "600", "--log-level", "debug"}, result{"https://one", 500, 600}},
		{"fraction", path, []string{"--client-qps=0.5"}, result{"https://one", 0.5, 100}},
		{"odd limits", path, []string{"--client-qps", "--client-burst=many", "client-qps=5", "--client-qps=-1"}, result{"https://one", 100, 100}},
	} {
		t.Setenv("KUBECONFIG", c.env)
		config, err := kube.LoadConfig(c.args)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got := (result{config.Host, config.QPS, config.Burst}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

func TestNoConfig(t *testing.T) {
	t.Setenv("KUBECONFIG", "/absent")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	cluster := kube.New(func() (*rest.Config, error) { return kube.LoadConfig(nil) })
	if _, err := cluster.Version(t.Context()); !errors.Is(err, kube.CodeNoConfig) {
		t.Errorf("error %v", err)
	}
}
