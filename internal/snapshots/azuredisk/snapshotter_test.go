package azuredisk

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

func premium(name string) azurefake.Disk {
	return azurefake.Disk{Header: azurefake.Header{SKU: &azurefake.SKU{Name: name}}}
}

// A disk is backed up and restored, and its snapshot is deleted, with the id that
// the plugin replaced writes into backups.
func TestBackUpAndRestore(t *testing.T) {
	s := newScene(t)
	s.SetOperationTime(4 * time.Second)
	disk := s.AddDisk(group, "pvc-1", azurefake.Disk{})
	id := s.mustBackUp(csi(t, disk), map[string]string{"velero.io/backup": "b", "velero.io/pv": "pv"})
	form := regexp.MustCompile(`^/subscriptions/` + s.Subscription + `/resourceGroups/nodes/providers/Microsoft\.Compute/snapshots/pvc-1-[0-9a-f-]{36}$`)
	if !form.MatchString(id) {
		t.Errorf("id %q", id)
	}
	snapshot, ok := s.Snapshot(id)
	if !ok || snapshot.Properties.State != "Succeeded" || snapshot.Properties.Incremental != nil || snapshot.SKU != nil ||
		snapshot.Tags["velero.io-backup"] != "b" || snapshot.Tags["velero.io-pv"] != "pv" {
		t.Errorf("snapshot %+v", snapshot)
	}
	restored := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: "Premium_LRS", Zone: "westeurope-2"})
	if !strings.HasPrefix(restored.Name, "restore-") || restored.SKU.Name != "Premium_LRS" || !slices.Equal(restored.Zones, []string{"2"}) ||
		restored.Properties.CreationData.SourceResourceID != id || restored.Location != azurefake.Location || restored.Properties.State != "Succeeded" {
		t.Errorf("disk %+v", restored)
	}
	for range 2 {
		if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: id}); err != nil {
			t.Error(err)
		}
	}
	if left := s.Snapshots(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if n := len(s.Calls("Microsoft.Compute/disks/read")); n != 2 { // once for the backup, once after the restore
		t.Errorf("%d requests for a disk", n)
	}
}

// Backups that the plugin replaced took are restored and deleted.
func TestForeignBackups(t *testing.T) {
	s := newScene(t)
	other := "11111111-2222-3333-4444-555555555555"
	id := s.AddSnapshotIn(other, "Backups", "pvc-1-0a1b", azurefake.Snapshot{Header: azurefake.Header{Tags: map[string]string{"velero.io-backup": "b"}}})
	for _, id := range []string{id, strings.Replace(id, "/resourceGroups/Backups/providers/Microsoft.Compute", "/resourcegroups/backups/providers/MICROSOFT.COMPUTE", 1)} {
		disk := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: "StandardSSD_LRS"})
		if disk.Tags["velero.io-backup"] != "b" || !strings.Contains(disk.ID, s.Subscription) {
			t.Errorf("disk %+v", disk)
		}
	}
	if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: id}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"foo/bar", "x" + id, id + "/y", "snap-1"} {
		_, err := s.restore(sdk.CreateVolumeInput{SnapshotID: bad})
		fails(t, bad, err, CodeSnapshotID, "snapshot URI could not be parsed")
		_, err = s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: bad})
		fails(t, bad, err, CodeSnapshotID, "snapshot URI could not be parsed")
	}
	if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{}); err != nil {
		t.Errorf("empty id: %v", err)
	}
	_, err := s.restore(sdk.CreateVolumeInput{SnapshotID: id})
	fails(t, "deleted", err, CodeSnapshotNotFound, id)
}

// Without a resource group in the credentials, as OADP's console writes them, the
// persistent volume says where the disk is.
func TestCredentialsWithoutGroup(t *testing.T) {
	s := newScene(t)
	app := s.AddApp(azurefake.App{Secret: "s3cret"})
	s.config["credentialsFile"] = testfile.Write(t, fmt.Sprintf("\nAZURE_SUBSCRIPTION_ID=%s\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\n", s.Subscription, s.Tenant, app.ClientID))
	s.mustInit(s.config)
	if id := s.mustBackUp(csi(t, s.AddDisk("cluster-rg", "pvc-1", azurefake.Disk{})), nil); !strings.Contains(id, "/resourceGroups/cluster-rg/") {
		t.Errorf("snapshot %s", id)
	}
	_, err := s.restore(sdk.CreateVolumeInput{SnapshotID: s.Snapshots()[0]})
	fails(t, "restore", err, CodeIncomplete, "resource group of the disks", "disksResourceGroup", "AZURE_RESOURCE_GROUP")
	_, err = s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: "unknown"})
	fails(t, "unknown disk", err, CodeIncomplete, "disksResourceGroup")
}

// Disks of a cluster are in several resource groups and subscriptions.
func TestSeveralGroups(t *testing.T) {
	s := newScene(t, "resourceGroup", "backups")
	other := "11111111-2222-3333-4444-555555555555"
	first, second := s.AddDisk("one", "a", azurefake.Disk{}), s.AddDiskIn(other, "two", "b", azurefake.Disk{})
	for disk, want := range map[string]string{first: "a", second: "b"} {
		id := s.mustBackUp(csi(t, disk), nil)
		snapshot, _ := s.Snapshot(id)
		if !strings.Contains(id, "/resourceGroups/backups/") || snapshot.Properties.CreationData.SourceResourceID != disk {
			t.Errorf("%s: %s of %s", want, id, snapshot.Properties.CreationData.SourceResourceID)
		}
	}
	_, err := s.backUp(csi(t, s.AddDisk("three", "a", azurefake.Disk{})), nil)
	fails(t, "one name twice", err, CodeAmbiguous, "one", "three")
	// What is known of a disk outlasts another configuration.
	config := map[string]string{}
	for key, value := range s.config {
		config[key] = value
	}
	config["resourceGroup"] = "others"
	s.mustInit(config)
	if out, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: "b"}); err != nil || !strings.Contains(out.SnapshotID, "/resourceGroups/others/") {
		t.Errorf("%+v, %v", out, err)
	}
}

// Snapshots in the group of a cluster's nodes vanish with the cluster.
func TestNodeResourceGroup(t *testing.T) {
	s := newScene(t)
	app := s.AddApp(azurefake.App{Secret: "s3cret"})
	s.config["credentialsFile"] = testfile.Write(t, fmt.Sprintf("AZURE_SUBSCRIPTION_ID=%s\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\nAZURE_RESOURCE_GROUP=MC_a", s.Subscription, s.Tenant, app.ClientID))
	s.mustInit(s.config)
	for _, name := range []string{"a", "b"} {
		s.mustBackUp(csi(t, s.AddDisk("MC_a", name, azurefake.Disk{})), nil)
	}
	if n := strings.Count(s.log.String(), "vanish with it"); n != 1 {
		t.Errorf("%d warnings: %s", n, s.log)
	}
	s.config["resourceGroup"] = "backups"
	s.mustInit(s.config)
	s.mustBackUp(csi(t, s.AddDisk("MC_a", "c", azurefake.Disk{})), nil)
	if n := strings.Count(s.log.String(), "vanish with it"); n != 1 {
		t.Errorf("%d warnings: %s", n, s.log)
	}
}

// Premium SSD v2 and Ultra disks have incremental snapshots only, which are copied
// in the background, and settings of their own.
func TestPerformanceDisks(t *testing.T) {
	for _, sku := range []string{"PremiumV2_LRS", "UltraSSD_LRS"} {
		s := newScene(t)
		s.SetCopyTime(10 * time.Minute)
		d := premium(sku)
		d.Properties.IOPS, d.Properties.MBps, d.Properties.CreationData.LogicalSector = 5000, 300, 512
		disk := s.AddDisk(group, "pvc-1", d)
		name, err := s.VolumeID(t.Context(), sdk.VolumeIDInput{PersistentVolume: csi(t, disk)})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := s.VolumeInfo(t.Context(), sdk.VolumeInfoInput{VolumeID: name.VolumeID}); err != nil || info.VolumeType != sku || info.IOPS != 5000 {
			t.Errorf("%+v, %v", info, err)
		}
		id := s.mustBackUp(csi(t, disk), nil)
		snapshot, _ := s.Snapshot(id)
		if !*snapshot.Properties.Incremental {
			t.Error("the snapshot is not incremental")
		}
		began := s.Now()
		restored := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: sku, IOPS: 5000})
		if waited := s.Now().Sub(began); waited < 9*time.Minute || waited > 12*time.Minute {
			t.Errorf("waited %v", waited)
		}
		if p := restored.Properties; p.IOPS != 5000 || p.MBps != 300 || p.CreationData.LogicalSector != 512 {
			t.Errorf("disk %+v", p)
		}
		for name := range restored.Tags {
			if strings.HasPrefix(name, ownTags) {
				t.Errorf("the disk has the tag %s", name)
			}
		}
		s.SetCopyTime(1000 * time.Hour)
		_, err = s.restore(sdk.CreateVolumeInput{SnapshotID: s.mustBackUp(csi(t, disk), nil), VolumeType: sku})
		fails(t, "copied too slowly", err, CodePending, "30m", "instantAccessMinutes")

		s.config["incremental"] = "false"
		s.mustInit(s.config)
		_, err = s.backUp(csi(t, disk), nil)
		fails(t, "not incremental", err, CodeIncremental, sku)
	}
}

// With instant access a restore does not wait for the copy.
func TestInstantAccess(t *testing.T) {
	s := newScene(t, "instantAccessMinutes", "300")
	s.SetCopyTime(10 * time.Minute)
	id := s.mustBackUp(csi(t, s.AddDisk(group, "pvc-1", premium("PremiumV2_LRS"))), nil)
	snapshot, _ := s.Snapshot(id)
	if c := snapshot.Properties.CreationData; c.CreateOption != "Copy" || c.InstantAccess != 300 {
		t.Errorf("creation data %+v", c)
	}
	began := s.Now()
	s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: "PremiumV2_LRS"})
	if waited := s.Now().Sub(began); waited > time.Minute {
		t.Errorf("waited %v", waited)
	}
	s.mustBackUp(csi(t, s.AddDisk(group, "pvc-2", azurefake.Disk{})), nil)
	if !strings.Contains(s.log.String(), "instantAccessMinutes has no effect") {
		t.Errorf("log: %s", s.log)
	}
}

// What a disk is encrypted with, shared by and reached from is what the snapshot
// and the restored disk have.
func TestPropertiesOfDisks(t *testing.T) {
	d := premium("Premium_LRS")
	d.ExtendedLocation = &azurefake.ExtendedLocation{Name: "edge", Type: "EdgeZone"}
	d.Properties.Access = azurefake.Access{
		Encryption: &azurefake.Encryption{Type: "EncryptionAtRestWithPlatformAndCustomerKeys", Set: "/subscriptions/s/set"}, NetworkPolicy: "AllowPrivate", DiskAccess: "/subscriptions/s/access", PublicNetwork: "Disabled",
	}
	d.Properties.MaxShares, d.Properties.Tier, d.Properties.Bursting = 3, "P40", new(true)
	for _, set := range []string{"", "/subscriptions/s/another"} {
		s := newScene(t, "diskEncryptionSetId", set, "snapshotSKU", "Standard_ZRS")
		id := s.mustBackUp(csi(t, s.AddDisk(group, "pvc-1", d)), nil)
		snapshot, _ := s.Snapshot(id)
		restored := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: "Premium_LRS"})
		want := d.Properties.Encryption.Set
		if set != "" {
			want = set
		}
		for what, got := range map[string]struct {
			header azurefake.Header
			access azurefake.Access
		}{"snapshot": {snapshot.Header, snapshot.Properties.Access}, "disk": {restored.Header, restored.Properties.Access}} {
			if got.access.Encryption.Set != want || got.access.NetworkPolicy != "AllowPrivate" || got.access.DiskAccess != "/subscriptions/s/access" ||
				got.access.PublicNetwork != "Disabled" || got.header.ExtendedLocation.Name != "edge" {
				t.Errorf("%s: %+v", what, got)
			}
		}
		if snapshot.SKU.Name != "Standard_ZRS" {
			t.Errorf("snapshot of type %s", snapshot.SKU.Name)
		}
		if p := restored.Properties; p.MaxShares != 3 || p.Tier != "P40" || p.Bursting == nil || !*p.Bursting {
			t.Errorf("disk %+v", p)
		}
	}
	s := newScene(t)
	restored := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: s.mustBackUp(csi(t, s.AddDisk(group, "pvc-1", premium("Premium_LRS"))), nil)})
	if p := restored.Properties; p.MaxShares != 0 || p.Tier != "" || p.Bursting != nil || p.Encryption != nil || restored.SKU.Name != "Standard_LRS" {
		t.Errorf("disk %+v", restored)
	}
}

func TestZones(t *testing.T) {
	for _, c := range []struct {
		config, sku, zone string
		want              []string
	}{
		{"", "Premium_LRS", "eastus-1", []string{"1"}}, {"", "Premium_LRS", "eastus-2-3", []string{"3"}},
		{"", "Premium_LRS", "eastus", nil}, {"", "Premium_LRS", "", nil}, {"", "Premium_LRS", "0", nil}, {"", "Premium_LRS", "eastus-0", nil},
		{"", "Premium_ZRS", "eastus-1", nil}, {"", "StandardSSD_ZRS", "eastus-1", nil},
		{"2", "Premium_LRS", "eastus-1", []string{"2"}}, {"2", "Premium_LRS", "", []string{"2"}}, {"2", "Premium_ZRS", "", nil},
	} {
		s := newScene(t, "zone", c.config)
		id := s.mustBackUp(csi(t, s.AddDisk(group, "d", azurefake.Disk{})), nil)
		if disk := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: c.sku, Zone: c.zone}); !slices.Equal(disk.Zones, c.want) {
			t.Errorf("%+v: zones %q", c, disk.Zones)
		}
	}
	s := newScene(t, "diskSKU", "Premium_ZRS")
	id := s.mustBackUp(csi(t, s.AddDisk(group, "d", azurefake.Disk{})), nil)
	if disk := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id, VolumeType: "Premium_LRS", Zone: "eastus-1"}); disk.SKU.Name != "Premium_ZRS" || disk.Zones != nil {
		t.Errorf("disk %+v", disk)
	}
}

// Policies want tags, also of restored disks whose snapshots are older than the
// policy.
func TestTagPolicy(t *testing.T) {
	s := newScene(t)
	id := s.mustBackUp(csi(t, s.AddDisk(group, "d", azurefake.Disk{})), nil)
	s.RequireTag("owner")
	s.Forget()
	_, err := s.restore(sdk.CreateVolumeInput{SnapshotID: id})
	fails(t, "restore", err, azureaccess.CodePolicy, "Require a tag on resources: owner", "tags")
	if n := len(s.Calls("Microsoft.Compute/disks/write")); n != 1 {
		t.Errorf("%d attempts", n)
	}
	s.config["tags"] = "owner=x, cost = 1"
	s.mustInit(s.config)
	if disk := s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id}); disk.Tags["owner"] != "x" || disk.Tags["cost"] != "1" {
		t.Errorf("tags %q", disk.Tags)
	}
}

// What was begun in vain is not left behind.
func TestCleanUp(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(s *scene)
		code    error
	}{
		"endless operation":    {func(s *scene) { s.SetOperationTime(1000 * time.Hour) }, CodeTimeout},
		"operation that fails": {func(s *scene) { s.FailOperation("DiskEncryptionSetFailed", "The key is disabled.") }, CodeEncryption},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			pv := csi(t, s.AddDisk(group, "d", azurefake.Disk{}))
			id := s.mustBackUp(pv, nil)
			c.prepare(s)
			began := s.Now()
			_, err := s.backUp(pv, nil)
			if took := s.Now().Sub(began); took > 3*time.Minute {
				t.Errorf("it took %v", took)
			}
			if !isCode(err, c.code) || !slices.Equal(s.Snapshots(), []string{id}) {
				t.Errorf("%v, snapshots %q", err, s.Snapshots())
			}
			c.prepare(s)
			_, err = s.restore(sdk.CreateVolumeInput{SnapshotID: id})
			if !isCode(err, c.code) || !slices.Equal(s.Disks(), []string{"d"}) {
				t.Errorf("%v, disks %q", err, s.Disks())
			}
		})
	}
	// The operation may be over although its answer says otherwise.
	s := newScene(t)
	s.Inject(inject.Always, azurefake.Actions("operation"), azurefake.InProgress())
	id := s.mustBackUp(csi(t, s.AddDisk(group, "d", azurefake.Disk{})), nil)
	if _, ok := s.Snapshot(id); !ok {
		t.Error("the snapshot is gone")
	}
}

// A connection that breaks off after the request was carried out costs nothing:
// the request is made again for the same name.
func TestLostAnswers(t *testing.T) {
	s := newScene(t)
	s.Inject(1, azurefake.Actions("Microsoft.Compute/snapshots/write"), inject.LoseAnswer())
	s.Inject(1, azurefake.Actions("Microsoft.Compute/disks/write"), inject.LoseAnswer())
	s.Inject(1, azurefake.Actions("operation"), azurefake.Throttle(10*time.Millisecond))
	s.Inject(1, azurefake.Actions("Microsoft.Compute/snapshots/delete"), inject.LoseAnswer())
	id := s.mustBackUp(csi(t, s.AddDisk(group, "d", azurefake.Disk{})), nil)
	s.mustRestore(sdk.CreateVolumeInput{SnapshotID: id})
	if n, m := len(s.Snapshots()), len(s.Disks()); n != 1 || m != 2 {
		t.Errorf("%d snapshots, %d disks", n, m)
	}
	if _, err := s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: id}); err != nil || len(s.Snapshots()) > 0 {
		t.Errorf("%v, %q", err, s.Snapshots())
	}
}

// What Azure refuses is told at once, with what to do.
func TestRefusals(t *testing.T) {
	s := newScene(t)
	pv := csi(t, s.AddDisk(group, "d", azurefake.Disk{}))
	id := s.mustBackUp(pv, nil)
	_, err := s.backUp(csi(t, strings.Replace(s.AddDisk(group, "e", azurefake.Disk{}), "/e", "/gone", 1)), nil)
	fails(t, "no disk", err, CodeDiskNotFound, "gone", "disksResourceGroup")

	s.Deny("Microsoft.Compute/snapshots/write", "Microsoft.Compute/snapshots/delete")
	_, err = s.backUp(pv, nil)
	fails(t, "no right to write", err, azureaccess.CodeDenied, "a role with the action Microsoft.Compute/snapshots/write")
	_, err = s.DeleteSnapshot(t.Context(), sdk.DeleteSnapshotInput{SnapshotID: id})
	fails(t, "no right to delete", err, azureaccess.CodeDenied, "Microsoft.Compute/snapshots/delete")

	s.Forget()
	s.Inject(inject.Always, azurefake.Actions("Microsoft.Compute/disks/write"), azurefake.Answer(http.StatusForbidden, "LinkedAuthorizationFailed",
		"The client has permission to perform action, but is not authorized to access linked subscription."))
	_, err = s.restore(sdk.CreateVolumeInput{SnapshotID: id})
	fails(t, "other tenant", err, CodeTenant, s.Subscription, "one tenant")
	if n := len(s.Calls("Microsoft.Compute/disks/write")); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestNotInitialized(t *testing.T) {
	s := New(newScene(t).Snapshotter.log)
	_, err := s.CreateSnapshot(t.Context(), sdk.CreateSnapshotInput{VolumeID: "d"})
	fails(t, "before Init", err, CodeNotReady)
}

// Init makes no request, and leaves the old state when it fails.
func TestInit(t *testing.T) {
	s := newScene(t)
	if calls := s.Calls(""); len(calls) > 0 {
		t.Errorf("requests: %+v", calls)
	}
	pv := csi(t, s.AddDisk(group, "d", azurefake.Disk{}))
	if _, err := s.Init(t.Context(), sdk.InitInput{Config: map[string]string{"what": "x"}}); err == nil {
		t.Error("no error")
	}
	s.mustBackUp(pv, nil)
}
