// Package conformance holds the built plugins to the contract between the
// Velero server and its plugins, over the real wire and with real servers
// behind them.
package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO, tools.Azurite, tools.ControlPlane) }

// TestAWSStrict checks the object store behind a server that refuses whatever
// servers other than Amazon's refuse, and that can be broken.
func TestAWSStrict(t *testing.T) {
	t.Parallel()
	minio, path := servers.MinIO(t), build(t, "velero-plugin-for-aws", "./plugins/aws")
	for _, c := range []struct {
		name   string
		config map[string]string
	}{
		{"checksums", nil},
		{"no-checksums", map[string]string{"checksumAlgorithm": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proxy := s3proxy.NewTLS(t, minio.Endpoint, nil, s3proxy.Strict()...)
			config := storeConfig(t, minio, proxy.URL, c.config)
			config["caCert"] = string(proxy.CAPEM)
			plugintest.Run(t, plugintest.Plugin{
				Path: path,
				Env: append(environment(t), "OADP_PLUGIN_STALL_TIMEOUT="+stallLimit.String(),
					"AWS_MAX_ATTEMPTS=2"), // a broken server stays broken
				StallLimit: stallLimit,
				Store: &plugintest.StoreConfig{
					Config:      config,
					Bucket:      minio.NewBucket(t),
					LargeObject: 128 << 20,
					HTTPClient:  trusting(proxy.CAPEM),
				},
				BreakBackend: breaker(proxy),
				Skip:         processRows(),
			})
			for _, id := range unfinishedUploads(proxy) {
				t.Errorf("the multipart upload %s was neither completed nor aborted", id)
			}
		})
	}
}

// stallLimit is short, for the sake of the test's time.
const stallLimit = 3 * time.Second

// build builds a plugin, or takes it from the folder that OADP_PLUGIN_BIN names.
func build(t *testing.T, name, source string) string {
	t.Helper()
	if dir := os.Getenv("OADP_PLUGIN_BIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	path := filepath.Join(servers.Dir(), name)
	command := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", path, source)
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return path
}

// environment is that of a container: without a home and without credentials.
func environment(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"}
}

// storeConfig is the spec.config of a location in the bucket store.
func storeConfig(t *testing.T, minio *stack.MinIO, endpoint string, more map[string]string) map[string]string {
	t.Helper()
	config := map[string]string{
		"region": stack.Region, "s3Url": endpoint, "s3ForcePathStyle": "true",
		"credentialsFile": credentialsFile(t, minio.AccessKey, minio.SecretKey),
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func trusting(ca []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// breaker lets the server fail from now on and recover again.
func breaker(proxy *s3proxy.Proxy) func() (restore func()) {
	var broken atomic.Bool
	proxy.Inject(inject.Always, func(s3proxy.Request) bool { return broken.Load() },
		s3proxy.Answer(http.StatusInternalServerError, "InternalError", "The disk is broken."))
	return func() func() {
		broken.Store(true)
		return func() { broken.Store(false) }
	}
}

// processRows are the rows that have nothing to do with the object store.
func processRows() map[string]string {
	skip := map[string]string{}
	for _, row := range plugintest.Rows() {
		group, _, _ := strings.Cut(row.ID, ".")
		if group == "start" || group == "end" {
			skip[row.ID] = "it is checked without the proxy"
		}
	}
	delete(skip, "end.shutdown-busy")
	delete(skip, "end.crash")
	return skip
}

// unfinishedUploads returns the ids of multipart uploads that were left alone.
func unfinishedUploads(proxy *s3proxy.Proxy) []string {
	open := map[string]bool{}
	for _, r := range proxy.Requests() {
		id := r.Query.Get("uploadId")
		switch r.Operation() {
		case "UploadPart":
			if _, seen := open[id]; !seen {
				open[id] = true
			}
		case "CompleteMultipartUpload", "AbortMultipartUpload":
			open[id] = false
		}
	}
	var left []string
	for id, unfinished := range open {
		if unfinished {
			left = append(left, id)
		}
	}
	return left
}
