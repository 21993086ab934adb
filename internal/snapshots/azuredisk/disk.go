package azuredisk

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// VolumeInfo returns a disk's type, and its IOPS where the type has some of its own.
func (c *compute) VolumeInfo(ctx context.Context, name string) (sdk.VolumeInfoResult, error) {
	what := "error getting disk " + name
	at, err := c.diskPlace(name)
	if err != nil {
		return sdk.VolumeInfoResult{}, explain(what, err)
	}
	id := at.id(diskType, name)
	disk, err := c.get(ctx, id)
	if err != nil {
		return sdk.VolumeInfoResult{}, explain(what, diskFault(err))
	}
	if disk.SKU == nil {
		return sdk.VolumeInfoResult{}, explain(what, &fault.Error{What: "disk has a nil SKU"})
	}
	c.volumes.keep(id, disk, c.clock.Now())
	result := sdk.VolumeInfoResult{VolumeType: disk.SKU.Name}
	if hasPerformance(disk.SKU.Name) {
		result.IOPS = disk.Properties.IOPS
	}
	return result, nil
}

// CreateVolume makes a disk of a snapshot and returns its name.
func (c *compute) CreateVolume(ctx context.Context, in sdk.CreateVolumeInput) (string, error) {
	what := "error creating a disk of snapshot " + in.SnapshotID
	from, err := parseSnapshotID(in.SnapshotID)
	if err != nil {
		return "", explain(what, err)
	}
	to, err := c.disksPlace()
	if err != nil {
		return "", explain(what, err)
	}
	snapshot, err := c.readySnapshot(ctx, in.SnapshotID)
	if err != nil {
		return "", explain(what, err)
	}
	disk, err := c.diskOf(snapshot, in)
	if err != nil {
		return "", explain(what, err)
	}
	name := "restore-" + uuid.NewString()
	if err := c.create(ctx, to.id(diskType, name), disk); err != nil {
		return "", explain(what, tenantFault(err, from, to))
	}
	return name, nil
}

// diskOf describes the disk to make of a snapshot.
func (c *compute) diskOf(snapshot *resource, in sdk.CreateVolumeInput) (*resource, error) {
	disk := &resource{
		Location:         snapshot.Location,
		ExtendedLocation: snapshot.ExtendedLocation,
		Tags:             c.diskTags(snapshot.Tags),
		Properties: properties{
			CreationData:        creationData{CreateOption: "Copy", SourceResourceID: in.SnapshotID},
			Encryption:          c.encryption(snapshot.Properties.Encryption),
			NetworkAccessPolicy: snapshot.Properties.NetworkAccessPolicy,
			PublicNetworkAccess: snapshot.Properties.PublicNetworkAccess,
			DiskAccessID:        snapshot.Properties.DiskAccessID,
		},
	}
	name := in.VolumeType
	if c.diskSKU != "" {
		name = c.diskSKU
	}
	if name != "" {
		disk.SKU = &sku{name}
	}
	if zone := c.zoneOf(in.Zone); zone != "" && !strings.HasSuffix(name, "_ZRS") {
		disk.Zones = []string{zone}
	}
	facts := factsIn(snapshot.Tags)
	disk.Properties.MaxShares, disk.Properties.Tier, disk.Properties.Bursting = facts.maxShares, facts.tier, facts.bursting
	if name != in.VolumeType {
		disk.Properties.Tier, disk.Properties.Bursting = "", nil // of another type of disk
	}
	if hasPerformance(name) {
		if in.IOPS < 0 {
			return nil, &fault.Error{Code: CodeRefused, Err: fmt.Errorf("%d IOPS are out of range", in.IOPS)}
		}
		disk.Properties.IOPS, disk.Properties.MBps = in.IOPS, facts.mbps
		disk.Properties.CreationData.LogicalSectorSize = facts.sector
	}
	return disk, nil
}

// zoneOf returns the number of the zone in a name such as eastus-1, "" for none.
func (c *compute) zoneOf(name string) string {
	if c.zone != "" {
		return c.zone
	}
	i := strings.LastIndex(name, "-")
	if i < 0 || !zoneNumber.MatchString(name[i+1:]) {
		return ""
	}
	return name[i+1:]
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
