// Package kubevirt backs up and restores virtual machines with the newest
// release of Velero.
package kubevirt

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/machines"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers = stack.Stack{VeleroOptions: stack.VeleroOptions{Plugins: []string{
	stack.BuiltPlugin("../../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../../..", "kubevirt-velero-plugin"),
}}}

func TestMain(m *testing.M) { servers.Main(m, tools.Core()...) }

func TestMachines(t *testing.T) {
	cluster := machines.New(t, &servers)
	t.Run("matrix", cluster.Matrix)
	t.Run("stories", cluster.Stories)
	t.Run("hooks", cluster.Hooks)
}
