// Package e2e backs up and restores with the server of Velero 1.16.
package e2e

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/cases"
	"github.com/oadp-plugins/oadp-plugins/test/e2e/machines"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const release tools.VeleroRelease = "1.16"

var servers = stack.Stack{VeleroOptions: stack.VeleroOptions{
	Server: release.Server(),
	Plugins: []string{
		stack.BuiltPlugin("../../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../../..", "kubevirt-velero-plugin"),
	},
}}

func TestMain(m *testing.M) { servers.Main(m, tools.ControlPlane, tools.MinIO, release.Tool()) }

func TestBackupAndRestore(t *testing.T) {
	cases.BackupAndRestore(t, &servers, cases.MinIO(t, &servers))
}

func TestMachines(t *testing.T) {
	cluster := machines.New(t, &servers)
	t.Run("stories", cluster.Stories)
	t.Run("hooks", cluster.Hooks)
}
