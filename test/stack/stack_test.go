package stack_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.MinIO) }

func TestNamespaceHasOnlyLoopback(t *testing.T) {
	if servers.Isolation() == "loopback" {
		t.Skip("no namespaces on this machine")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces) != 1 || interfaces[0].Name != "lo" || interfaces[0].Flags&net.FlagUp == 0 {
		t.Errorf("interfaces: %v", interfaces)
	}
}

func TestEnvironmentIsHermetic(t *testing.T) {
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "AWS_") || strings.HasPrefix(entry, "SSL_CERT_") {
			t.Errorf("inherited %s", entry)
		}
	}
}

func TestMinIOEndpoints(t *testing.T) {
	store := servers.MinIO(t)
	bucket := store.NewBucket(t)
	for _, endpoint := range []string{store.Endpoint, store.TLSEndpoint} {
		client, err := store.Client(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.PutObject(t.Context(), bucket, "key", strings.NewReader("content"), 7, minio.PutObjectOptions{})
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
