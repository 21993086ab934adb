// Package imagetriggers restores a Deployment with an image trigger, with real
// pods and volumes and with a controller that rolls out as soon as it may.
package imagetriggers

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, slices.Concat(tools.Core(), tools.Node())...) }

// installVelero installs Velero with its node agent and both plugins.
func installVelero(ctx context.Context, t *testing.T, node *stack.Node, store *stack.MinIO) *stack.VeleroClient {
	t.Helper()
	endpoint, err := node.Expose(store.TLSEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	location := store.S3Location("default", store.NewBucket(t))
	location.Config["s3Url"] = endpoint
	velero, err := node.InstallVelero(ctx, stack.VeleroInPods{
		Plugins:  []string{addPlugin(ctx, t, node, "velero-plugin-for-aws"), addPlugin(ctx, t, node, "velero-plugins")},
		Location: location,
	})
	if err != nil {
		t.Fatal(err)
	}
	return velero
}

// addPlugin gives the node an image that installs a plugin, and returns its name.
func addPlugin(ctx context.Context, t *testing.T, node *stack.Node, name string) string {
	t.Helper()
	path, err := filepath.Abs(stack.BuiltPlugin("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	image, err := node.AddImage(ctx, name, "test", imagebuild.Image{
		Files:      []imagebuild.File{{Path: "/" + name, Source: path}},
		Entrypoint: []string{"/" + name, "install", "/target"},
		User:       "65532:65532",
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// addApp gives the node the program of the pods under two tags.
func addApp(ctx context.Context, t *testing.T, node *stack.Node) (first, rebuilt string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/app")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	images := make([]string, 2)
	for i, tag := range []string{"first", "rebuilt"} {
		var err error
		images[i], err = node.AddImage(ctx, "app", tag, imagebuild.Image{
			Files:      []imagebuild.File{{Path: "/app", Source: program}},
			Entrypoint: []string{"/app"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return images[0], images[1]
}
