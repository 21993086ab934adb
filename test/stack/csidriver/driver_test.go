package csidriver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func start(t *testing.T) *Driver {
	t.Helper()
	dir := t.TempDir()
	driver, err := Start(Options{Name: "folders.csi.example.io", Root: dir, Socket: filepath.Join(dir, "csi.sock")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(driver.Stop)
	return driver
}

func (d *Driver) newVolume(t *testing.T, request *csi.CreateVolumeRequest) string {
	t.Helper()
	response, err := d.CreateVolume(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return response.GetVolume().GetVolumeId()
}

func mounted() []*csi.VolumeCapability {
	return []*csi.VolumeCapability{{AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}}}}
}

// Members of a group are only deleted with it, if the driver refuses to.
func TestMembersAreDeletedWithTheirGroup(t *testing.T) {
	d := start(t)
	volumes := []string{
		d.newVolume(t, &csi.CreateVolumeRequest{Name: "a", VolumeCapabilities: mounted()}),
		d.newVolume(t, &csi.CreateVolumeRequest{Name: "b", VolumeCapabilities: mounted()}),
	}
	d.SetFaults(Faults{RefuseMemberDeletion: true})
	response, err := d.CreateVolumeGroupSnapshot(t.Context(), &csi.CreateVolumeGroupSnapshotRequest{Name: "g", SourceVolumeIds: volumes})
	if err != nil {
		t.Fatal(err)
	}
	group := response.GetGroupSnapshot()
	for _, member := range group.GetSnapshots() {
		_, err := d.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: member.GetSnapshotId()})
		if status.Code(err) != codes.InvalidArgument || member.GetGroupSnapshotId() != group.GetGroupSnapshotId() {
			t.Errorf("member %v deleted: %v", member, err)
		}
	}
	_, err = d.DeleteVolumeGroupSnapshot(t.Context(), &csi.DeleteVolumeGroupSnapshotRequest{GroupSnapshotId: group.GetGroupSnapshotId()})
	if left := d.Snapshots(); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A snapshot that cannot be deleted stays, and one that is forgotten is not listed.
func TestDeletionsFailAndSnapshotsAreForgotten(t *testing.T) {
	d := start(t)
	volume := d.newVolume(t, &csi.CreateVolumeRequest{Name: "a", VolumeCapabilities: mounted()})
	response, err := d.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: volume})
	if err != nil {
		t.Fatal(err)
	}
	id := response.GetSnapshot().GetSnapshotId()
	d.SetFaults(Faults{FailDeletions: 1})
	_, err = d.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: id})
	if status.Code(err) != codes.Internal || len(d.Snapshots()) != 1 {
		t.Errorf("deleted: %v", err)
	}
	if err := d.ForgetSnapshots(id); err != nil {
		t.Fatal(err)
	}
	list, err := d.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{SnapshotId: id})
	if err != nil || len(list.GetEntries()) > 0 || exists(d.SnapshotFolder(id)) {
		t.Errorf("listed %v, %v", list.GetEntries(), err)
	}
}

// A block volume is a file of its size, which grows with it, and its content is in
// the volumes that are restored from its snapshots.
func TestBlockVolume(t *testing.T) {
	d := start(t)
	block := []*csi.VolumeCapability{{AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}}
	volume := d.newVolume(t, &csi.CreateVolumeRequest{Name: "a", VolumeCapabilities: block, CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 20}})
	file := filepath.Join(d.VolumeFolder(volume), blockFile)
	device, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if _, err := device.WriteAt([]byte("content"), 1<<19); err != nil {
		t.Fatal(err)
	}
	response, err := d.CreateSnapshot(t.Context(), &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: volume})
	if err != nil {
		t.Fatal(err)
	}
	source := &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: response.GetSnapshot().GetSnapshotId()},
	}}
	small := &csi.CreateVolumeRequest{Name: "b", VolumeCapabilities: block, VolumeContentSource: source, CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 19}}
	if _, err := d.CreateVolume(t.Context(), small); status.Code(err) != codes.OutOfRange {
		t.Errorf("a volume smaller than its snapshot: %v", err)
	}
	small.CapacityRange.RequiredBytes = 1 << 21
	restored, err := os.ReadFile(filepath.Join(d.VolumeFolder(d.newVolume(t, small)), blockFile))
	if err != nil || len(restored) != 1<<21 || string(restored[1<<19:][:7]) != "content" {
		t.Errorf("restored %d bytes, %v", len(restored), err)
	}
	_, err = d.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{VolumeId: volume, CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 22}})
	if info, statErr := os.Stat(file); err != nil || statErr != nil || info.Size() != 1<<22 {
		t.Errorf("expanded to %v, %v, %v", info, err, statErr)
	}
}
