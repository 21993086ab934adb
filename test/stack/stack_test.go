package stack_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) {
	if kind := os.Getenv(helperEnv); kind != "" {
		helper(kind)
	}
	servers.Main(m, append(tools.Node(), tools.MinIO, tools.ControlPlane, tools.Storage, tools.Registry, tools.Azurite)...)
}

func TestNamespaceHasOnlyLoopback(t *testing.T) {
	skipOnLoopback(t)
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(interfaces) != 1 || interfaces[0].Name != "lo" || interfaces[0].Flags&net.FlagUp == 0 {
		t.Errorf("interfaces: %v", interfaces)
	}
}

func TestProcessesOutsideAreHidden(t *testing.T) {
	skipOnLoopback(t)
	// The parent is the init of the namespace.
	if parent := os.Getppid(); parent != 1 {
		t.Errorf("parent process is %d", parent)
	}
	if _, err := os.Stat("/proc/1/root"); err != nil {
		t.Errorf("/proc is not that of the namespace: %v", err)
	}
}

func skipOnLoopback(t *testing.T) {
	if servers.Isolation() == "loopback" {
		t.Skip("this machine allows no namespaces: the stack runs on its loopback interface")
	}
}

func TestEnvironmentIsHermetic(t *testing.T) {
	for _, entry := range os.Environ() {
		for _, prefix := range []string{"AWS_", "SSL_CERT_", "HTTP_PROXY", "https_proxy", "KUBECONFIG"} {
			if strings.HasPrefix(entry, prefix) {
				t.Errorf("inherited %s", entry)
			}
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

func TestControlPlaneVersionIsStamped(t *testing.T) {
	version, err := servers.ControlPlane(t).Kubernetes.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version.GitVersion, "v1.") || version.Major != "1" {
		t.Errorf("version %+v: clients cannot parse it", version)
	}
}

func TestNamespaceOfATestIsReady(t *testing.T) {
	cluster := servers.ControlPlane(t)
	namespace := cluster.NewNamespace(t)
	_, err := cluster.Kubernetes.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil {
		t.Error(err)
	}
}
