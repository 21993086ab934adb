// Package e2e backs up and restores with the real Velero server and the built
// plugins.
package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// binEnv names the folder of the built plugins, if that is not bin.
const binEnv = "OADP_PLUGIN_BIN"

var servers = stack.Stack{VeleroOptions: stack.VeleroOptions{Plugins: []string{builtPlugin("velero-plugin-for-aws")}}}

func TestMain(m *testing.M) { servers.Main(m, tools.Core()...) }

func builtPlugin(name string) string {
	dir := os.Getenv(binEnv)
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	return filepath.Join(dir, name)
}
