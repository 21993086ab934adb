// Package pods runs Velero, its node agent and the plugins' images in pods, as
// a cluster does.
package pods

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// binEnv names the folder of the built plugins, if that is not bin.
const binEnv = "OADP_PLUGIN_BIN"

// testTimeout bounds a whole test: a pod that never runs must not stop the run.
const testTimeout = 5 * time.Minute

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, slices.Concat(tools.Core(), tools.Node())...) }

// checkout is the root of the sources.
var checkout = filepath.Join("..", "..")

func builtPlugin(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv(binEnv)
	if dir == "" {
		dir = filepath.Join(checkout, "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// addPluginImage gives the node the image that a Dockerfile makes of a built
// plugin, and returns its name.
func addPluginImage(ctx context.Context, t *testing.T, node *stack.Node, dockerfile, plugin string) string {
	t.Helper()
	// The folder as `make dist` leaves it, for this machine alone.
	folder := t.TempDir()
	binaries := filepath.Join(folder, "dist", "linux-"+runtime.GOARCH)
	if err := os.MkdirAll(binaries, 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		filepath.Join(folder, dockerfile): filepath.Join(checkout, dockerfile),
		filepath.Join(folder, "LICENSE"):  filepath.Join(checkout, "LICENSE"),
		filepath.Join(binaries, plugin):   builtPlugin(t, plugin),
	} {
		target, err := filepath.Abs(target)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	image, err := imagebuild.FromDockerfile(filepath.Join(folder, dockerfile), map[string]string{"TARGETARCH": runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	name, err := node.AddImage(ctx, plugin, "test", image)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func createPod(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, namespace, name string, spec corev1.PodSpec) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: spec}
	if _, err := cluster.Kubernetes.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
