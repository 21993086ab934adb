package azuredisk

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// maxName is the length of the longest name of a snapshot.
const maxName = 80

// snapshotName returns the name of a new snapshot of a disk: the disk's, cut so
// that the whole is not too long, and a UUID.
func snapshotName(disk string) string {
	id := "-" + uuid.NewString()
	return disk[:min(len(disk), maxName-len(id))] + id
}

// CreateSnapshot makes a snapshot of a disk and returns its id.
func (c *compute) CreateSnapshot(ctx context.Context, name string, velero map[string]string) (string, error) {
	what := "error creating a snapshot of disk " + name
	at, err := c.diskPlace(name)
	if err != nil {
		return "", explain(what, err)
	}
	disk := c.volumes.take(at.id(diskType, name), c.clock.Now())
	if disk == nil {
		if disk, err = c.get(ctx, at.id(diskType, name)); err != nil {
			return "", explain(what, diskFault(err))
		}
	}
	to, err := c.snapshotPlace(at)
	if err != nil {
		return "", explain(what, err)
	}
	snapshot, err := c.snapshotOf(disk, at.id(diskType, name), velero)
	if err != nil {
		return "", explain(what, err)
	}
	id := to.id(snapshotType, snapshotName(name))
	if err := c.create(ctx, id, snapshot); err != nil {
		return "", explain(what, tenantFault(err, at, to))
	}
	return id, nil
}

// snapshotOf describes the snapshot of a disk.
func (c *compute) snapshotOf(disk *resource, id string, velero map[string]string) (*resource, error) {
	s := &resource{
		Location:         disk.Location,
		ExtendedLocation: disk.ExtendedLocation,
		Tags:             c.snapshotTags(velero, disk),
		Properties: properties{
			CreationData:        creationData{CreateOption: "Copy", SourceResourceID: id},
			Encryption:          c.encryption(disk.Properties.Encryption),
			NetworkAccessPolicy: disk.Properties.NetworkAccessPolicy,
			PublicNetworkAccess: disk.Properties.PublicNetworkAccess,
			DiskAccessID:        disk.Properties.DiskAccessID,
			Incremental:         c.incremental,
		},
	}
	if c.snapshotSKU != "" {
		s.SKU = &sku{c.snapshotSKU}
	}
	if hasPerformance(disk.skuName()) {
		if c.incremental != nil && !*c.incremental {
			return nil, &fault.Error{Code: CodeIncremental, What: "disks of type " + disk.skuName() + " have incremental snapshots only"}
		}
		s.Properties.Incremental = new(true)
		s.Properties.CreationData.InstantAccessDuration = c.instantAccess
	} else if c.instantAccess > 0 {
		c.log.Warn("instantAccessMinutes has no effect: only snapshots of Premium SSD v2 and Ultra disks have instant access", "disk", id)
	}
	return s, nil
}

// encryption returns the encryption of what is made of a disk or snapshot. Without
// a set of keys it is Azure's, which need not be said.
func (c *compute) encryption(source *encryption) *encryption {
	if c.encryptionSet != "" {
		return &encryption{Type: "EncryptionAtRestWithCustomerKey", Set: c.encryptionSet}
	}
	if source == nil || source.Set == "" {
		return nil
	}
	return source
}

// DeleteSnapshot removes a snapshot. An absent one is success.
func (c *compute) DeleteSnapshot(ctx context.Context, id string) error {
	what := "error deleting snapshot " + id
	if _, err := parseSnapshotID(id); err != nil {
		return explain(what, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.apiTimeout, errTooLong)
	defer cancel()
	deadline := c.clock.Now().Add(c.apiTimeout)
	response, err := c.manager.Send(ctx, http.MethodDelete, target(id), nil, nil)
	if err == nil {
		err = c.await(ctx, response, deadline)
	}
	if azureaccess.Status(err) == http.StatusNotFound {
		return nil
	}
	return explain(what, err)
}

// parseSnapshotID returns the place of a snapshot.
func parseSnapshotID(id string) (place, error) {
	m := snapshotID.FindStringSubmatch(id)
	if m == nil {
		return place{}, &fault.Error{Code: CodeSnapshotID, What: "snapshot URI could not be parsed"}
	}
	return place{m[1], m[2]}, nil
}

// Pauses between two looks at a snapshot that is not complete.
const (
	firstSnapshotLook = 5 * time.Second
	lastSnapshotLook  = 30 * time.Second
)

// readySnapshot returns a snapshot when disks can be made of it: those of Premium
// SSD v2 and Ultra disks are copied in the background, unless they have instant
// access.
func (c *compute) readySnapshot(ctx context.Context, id string) (*resource, error) {
	deadline, pause := c.clock.Now().Add(c.snapshotReadyTimeout), firstSnapshotLook
	for {
		s, err := c.get(ctx, id)
		if err != nil {
			return nil, snapshotFault(err)
		}
		percent := s.Properties.CompletionPercent
		if percent == nil || *percent >= 100 || strings.Contains(s.Properties.AccessState, "InstantAccess") {
			return s, nil
		}
		left := deadline.Sub(c.clock.Now())
		if left <= 0 {
			return nil, &fault.Error{Code: CodePending, Err: fmt.Errorf("snapshot %s is still being copied after %v, at %.0f %%", s.Name, c.snapshotReadyTimeout, *percent)}
		}
		c.log.Info("waiting for a snapshot to be complete", "snapshot", id, "percent", *percent)
		if err := c.clock.Sleep(ctx, min(pause, left)); err != nil {
			return nil, err
		}
		pause = min(2*pause, lastSnapshotLook)
	}
}

// tenantFault explains the refusal of a copy between tenants.
func tenantFault(err error, from, to place) error {
	if azureaccess.ErrorCode(err) != "LinkedAuthorizationFailed" {
		return err
	}
	return &fault.Error{
		Code: CodeTenant,
		Err: fmt.Errorf("the identity may not use subscription %s for something in subscription %s: %w",
			from.subscription, to.subscription, azureaccess.Plain(err)),
	}
}
