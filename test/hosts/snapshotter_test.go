package hosts

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// volume is a persistent volume on a disk.
func volume(driver, disk string) json.RawMessage {
	return fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv1"},
		"spec": {"csi": {"driver": %q, "volumeHandle": %q}, "unknown": 9007199254740993}}`, driver, disk)
}

func TestVolumeSnapshotter(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		disks := h.plugin("VolumeSnapshotter", "example.io/disks")
		disks.mustFail("Init", []any{map[string]string{}}, "class is not set")
		h.endTask() // a client takes one Init
		disks.mustCall("Init", []any{map[string]string{"class": "fast"}})

		var class, snapshot, restored string
		var iops int64
		disks.mustCall("GetVolumeInfo", []any{"d1", "z"}, &class, &iops)
		mustBe(t, "type", class, "d1 in z is fast")
		mustBe(t, "IOPS", iops, int64(1<<53+1))
		disks.mustCall("CreateSnapshot", []any{"d1", "z", map[string]string{"velero.io/backup": "nightly"}}, &snapshot)
		mustBe(t, "snapshot", snapshot, "snapshot of d1 in z for nightly")
		disks.mustCall("CreateVolumeFromSnapshot", []any{"s1", "fast", "z", 3000}, &restored)
		mustBe(t, "restored volume", restored, "fast of 3000 from s1 in z")
		disks.mustCall("CreateVolumeFromSnapshot", []any{"s1", "fast", "z", nil}, &restored)
		mustBe(t, "restored volume", restored, "fast of 0 from s1 in z")
		disks.mustFail("DeleteSnapshot", []any{"s1"}, "s1 is locked")
		mustMove(t, disks, "disks.example.io", "d1", "d2")
	})
}

// TestEBSVolumes is what the aws plugin does with volumes without asking AWS.
func TestEBSVolumes(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, aws)
		h.mustDiscover()
		snapshotter := h.plugin("VolumeSnapshotter", "velero.io/aws")
		snapshotter.mustCall("Init", []any{map[string]string{"region": "eu-central-1"}})
		var id string
		snapshotter.mustCall("GetVolumeID", []any{volume("disks.example.io", "d1")}, &id)
		mustBe(t, "id of another driver's volume", id, "")
		mustMove(t, snapshotter, "ebs.csi.aws.com", "vol-0123456789abcdef0", "vol-0fedcba9876543210")
	})
}

// mustMove gives a volume another disk and expects nothing else to change.
func mustMove(t *testing.T, snapshotter plugin, driver, from, to string) {
	t.Helper()
	var id string
	snapshotter.mustCall("GetVolumeID", []any{volume(driver, from)}, &id)
	mustBe(t, "volume", id, from)
	var changed json.RawMessage
	snapshotter.mustCall("SetVolumeID", []any{volume(driver, from), to}, &changed)
	mustBe(t, "persistent volume", parse(t, changed), parse(t, volume(driver, to)))
}
