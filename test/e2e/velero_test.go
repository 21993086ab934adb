// Package e2e backs up and restores with the real Velero server and the built
// plugins.
package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// binEnv names the folder of the built plugins.
const binEnv = "OADP_PLUGIN_BIN"

var servers = stack.Stack{VeleroOptions: stack.VeleroOptions{Plugins: []string{pluginPath("velero-plugin-for-aws")}}}

func TestMain(m *testing.M) { servers.Main(m, tools.All()...) }

func pluginPath(name string) string {
	dir := os.Getenv(binEnv)
	if dir == "" {
		dir = "../../bin"
	}
	return filepath.Join(dir, name)
}

func TestTrial(t *testing.T) {
	t0 := time.Now()
	step := func(s string) { fmt.Println(s, time.Since(t0)); t0 = time.Now() }
	m := servers.MinIO(t)
	step("minio")
	c := servers.ControlPlane(t)
	step("cp")
	v := servers.Velero(t)
	step("velero")
	b := m.NewBucket(t)
	if err := v.AddLocation(t.Context(), m.S3Location("default", b)); err != nil {
		t.Fatal(err)
	}
	step("bsl")
	ns := c.NewNamespace(t)
	o, err := v.Backup(t.Context(), "b1", map[string]any{"includedNamespaces": []any{ns}, "storageLocation": "default"})
	step("backup")
	t.Log(o.Object["status"], err)
	out, err := v.CLI(t.Context(), "backup", "describe", "--details", "b1")
	step("describe")
	t.Log(out, err)
	out, err = v.CLI(t.Context(), "backup", "logs", "b1")
	t.Log(len(out), err)
	t.Log(v.DeleteBackup(t.Context(), "b1"))
	step("delete")
	if os.Getenv("FAIL") != "" {
		t.Fail()
	}
}
