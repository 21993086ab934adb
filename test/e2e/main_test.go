// Package e2e backs up and restores with the real Velero server and the built
// plugins.
package e2e

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers = stack.Stack{VeleroOptions: stack.VeleroOptions{Plugins: []string{
	stack.BuiltPlugin("../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../..", "velero-plugin-for-microsoft-azure"),
}}}

func TestMain(m *testing.M) { servers.Main(m, append(tools.Core(), tools.Azurite)...) }
