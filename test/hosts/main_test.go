// Package hosts runs plugins behind the plugin clients of old and new releases
// of Velero: those of this project, and one with a part of every kind.
package hosts

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) {
	needs := []tools.Tool{tools.MinIO}
	for _, release := range tools.VeleroReleases() {
		needs = append(needs, release.Tool())
	}
	servers.Main(m, needs...)
}

// The releases that changed what a host knows.
const (
	withOperations tools.VeleroRelease = "1.11"
	withItemBlocks tools.VeleroRelease = "1.15"
)

// inEachRelease runs a test behind each release's client.
func inEachRelease(t *testing.T, test func(*testing.T, tools.VeleroRelease)) {
	for _, release := range tools.VeleroReleases() {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			test(t, release)
		})
	}
}

// since runs a test behind the client of each release from first on.
func since(t *testing.T, first tools.VeleroRelease, test func(*testing.T, tools.VeleroRelease)) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		if release >= first { // of the same length, so that text compares as numbers
			test(t, release)
		}
	})
}

// The plugins, by their files' names.
const (
	aws        = "velero-plugin-for-aws"
	actions    = "velero-plugin-actions"
	operations = "velero-plugin-operations"
)

// build builds the plugins once.
var build = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(servers.Dir(), "built")
	for name, source := range map[string]string{
		aws:        "./plugins/aws",
		actions:    "./test/hosts/plugins/actions",
		operations: "./test/hosts/plugins/operations",
	} {
		command := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", filepath.Join(dir, name), source)
		command.Dir = "../.."
		command.Stderr = os.Stderr
		if err := command.Run(); err != nil {
			return "", err
		}
	}
	return dir, nil
})
