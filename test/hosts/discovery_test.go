package hosts

import (
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// TestDiscovery expects each release to find what it knows, version 1 of an
// action also as version 2, and to be told of nothing else.
func TestDiscovery(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		want := map[string][]string{
			"ObjectStore":       {"velero.io/aws"},
			"VolumeSnapshotter": {"example.io/disks", "velero.io/aws"},
			"BackupItemAction":  {"example.io/stamp"},
			"RestoreItemAction": {"example.io/stamp"},
			"DeleteItemAction":  {"example.io/stamp"},
		}
		plugins := []string{aws, actions}
		if release >= withOperations {
			plugins = append(plugins, operations)
			want["BackupItemActionV2"] = []string{"example.io/stamp", "example.io/export"}
			want["RestoreItemActionV2"] = []string{"example.io/stamp", "example.io/import"}
		}
		if release >= withItemBlocks {
			want["ItemBlockAction"] = []string{"example.io/stamp"}
		}
		h := start(t, release, plugins...)
		found := h.mustDiscover()
		for kind, names := range want {
			if !slices.Equal(found[kind], names) {
				t.Errorf("%s: %v, not %v", kind, found[kind], names)
			}
			delete(found, kind)
		}
		if len(found) > 0 {
			t.Errorf("more than expected: %v", found)
		}
	})
}

// TestOperationsNeed111 pins down what the guide says of Velero 1.10.
func TestOperationsNeed111(t *testing.T) {
	h := start(t, "1.10", operations)
	_, err := h.discover()
	if err == nil || !strings.Contains(err.Error(), "invalid plugin kind: BackupItemActionV2") {
		t.Errorf("discovery: %v", err)
	}
}

// TestTasks starts and ends plugins as a server does over a day.
func TestTasks(t *testing.T) {
	const tasks = 20
	minio := servers.MinIO(t)
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, aws, actions)
		h.mustDiscover()
		config := location(t, minio, "any")
		for range tasks {
			h.plugin("BackupItemAction", "example.io/stamp").mustCall("AppliesTo", nil, nil)
			h.plugin("ObjectStore", "velero.io/aws").mustCall("Init", []any{config})
			if n := len(h.processes()); n != 2 {
				t.Fatalf("%d plugin processes run", n)
			}
			h.endTask()
			if pids := h.processes(); len(pids) > 0 {
				t.Fatalf("plugin processes %v outlast their task", pids)
			}
		}
	})
}
