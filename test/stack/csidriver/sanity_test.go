package csidriver

import (
	"path/filepath"
	"testing"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
)

// The driver passes the suite of the CSI project, that of group snapshots and of
// topology included.
func TestSanity(t *testing.T) {
	dir := t.TempDir()
	driver, err := Start(Options{
		Name: "folders.csi.example.io", Root: filepath.Join(dir, "root"), Socket: filepath.Join(dir, "csi.sock"), Node: "node-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Stop()
	config := sanity.NewTestConfig()
	config.Address = "unix:" + filepath.Join(dir, "csi.sock")
	config.TargetPath, config.StagingPath = filepath.Join(dir, "target"), filepath.Join(dir, "staging")
	sanity.Test(t, config)
	if left := driver.Volumes(); len(left) > 0 {
		t.Errorf("the suite leaves the volumes %v", left)
	}
}
