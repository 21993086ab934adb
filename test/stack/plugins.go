package stack

import (
	"os"
	"path/filepath"
)

// pluginFolder names the folder of the built plugins, if that is not bin.
const pluginFolder = "OADP_PLUGIN_BIN"

// BuiltPlugin is the path of a plugin that make build has built. root is that of
// the checkout, such as "../..".
func BuiltPlugin(root, name string) string {
	dir := os.Getenv(pluginFolder)
	if dir == "" {
		dir = filepath.Join(root, "bin")
	}
	return filepath.Join(dir, name)
}
