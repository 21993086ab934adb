package azurefake

import (
	"net/http"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// AddDisk adds a disk to a group of the subscription and returns its id. One
// without a SKU is Premium_LRS.
func (c *Cloud) AddDisk(group, name string, d Disk) string {
	return c.AddDiskIn(c.Subscription, group, name, d)
}

// AddDiskIn adds a disk to another subscription.
func (c *Cloud) AddDiskIn(subscription, group, name string, d Disk) string {
	t, _ := targetOf("/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.Compute/disks/" + name)
	if d.SKU == nil {
		d.SKU = &SKU{Name: "Premium_LRS", Tier: "Premium"}
	}
	if d.Properties.SizeGB == 0 {
		d.Properties.SizeGB = 4
	}
	d.complete(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disks[fold(t.id)] = &d
	return t.id
}

// Disk returns the disk of that name, whatever its group, or false.
func (c *Cloud) Disk(name string) (Disk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.disks {
		if strings.EqualFold(d.Name, name) {
			return c.viewDisk(d), true
		}
	}
	return Disk{}, false
}

// Disks returns the names of all disks, in order.
func (c *Cloud) Disks() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, d := range c.disks {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return names
}

func (c *Cloud) viewDisk(d *Disk) Disk {
	view := *d
	view.Properties.State = c.state(d.made)
	return view
}

func (c *Cloud) getDisk(w http.ResponseWriter, _ *http.Request, t target, _ []byte) {
	d, ok := c.disks[fold(t.id)]
	if !ok {
		writeError(w, notFound(t))
		return
	}
	writeJSON(w, http.StatusOK, c.viewDisk(d))
}

// skus are the types of disks.
var skus = []string{"Standard_LRS", "Premium_LRS", "StandardSSD_LRS", "UltraSSD_LRS", "PremiumV2_LRS", "Premium_ZRS", "StandardSSD_ZRS"}

func (c *Cloud) putDisk(w http.ResponseWriter, r *http.Request, t target, content []byte) {
	var d Disk
	refusal := decode(content, &d)
	if refusal == nil {
		refusal = c.checkHeader(t, d.Header)
	}
	if refusal == nil {
		refusal = c.checkDisk(d)
	}
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	if d.SKU == nil {
		d.SKU = &SKU{Name: "Standard_LRS"}
	}
	d.complete(t)
	d.made = c.making()
	failure := c.nextFailure()
	d.made.failed = failure != nil
	c.disks[fold(t.id)] = &d
	view := c.viewDisk(&d)
	view.Properties.State = "Creating" // the answer comes before the end, however soon that is
	c.accept(w, r, d.made, failure, view)
}

// checkDisk refuses what no disk can be made with. c.mu is held.
func (c *Cloud) checkDisk(d Disk) *fakecloud.Refusal {
	sku := ""
	if d.SKU != nil {
		if sku = d.SKU.Name; !slices.Contains(skus, sku) {
			return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The value '%s' of parameter 'sku.name' is invalid.", sku)
		}
	}
	source := d.Properties.CreationData
	if source.CreateOption != "Copy" {
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The create option '%s' is not allowed here.", source.CreateOption)
	}
	if source.InstantAccess != 0 {
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "instantAccessDurationMinutes is for snapshots.")
	}
	s, ok := c.snapshots[fold(source.SourceResourceID)]
	if !ok {
		return fakecloud.Refuse(http.StatusNotFound, "NotFound", "Snapshot %s is not found.", source.SourceResourceID)
	}
	view := c.viewSnapshot(s)
	switch {
	case !strings.EqualFold(view.Location, d.Location):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "Source and destination have to be in the same region: %s and %s.", view.Location, d.Location)
	case *view.Properties.Percent < 100 && !strings.Contains(view.Properties.AccessState, "InstantAccess"):
		return fakecloud.Refuse(http.StatusConflict, "OperationNotAllowed", "The background copy of snapshot %s is not complete.", view.Name)
	case strings.HasSuffix(sku, "_ZRS") && len(d.Zones) > 0:
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "A zone-redundant disk has no zones.")
	case len(d.Zones) > 1 || len(d.Zones) == 1 && !slices.Contains([]string{"1", "2", "3"}, d.Zones[0]):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidAvailabilityZone", "The zone(s) '%s' is not a valid availability zone for the location.", strings.Join(d.Zones, ","))
	case !slow(d.SKU) && (d.Properties.IOPS != 0 || d.Properties.MBps != 0 || source.LogicalSector != 0):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "IOPS, throughput and sector size can be set for Ultra and Premium SSD v2 disks only.")
	case source.LogicalSector != 0 && source.LogicalSector != 512 && source.LogicalSector != 4096:
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The value '%d' of parameter 'logicalSectorSize' is invalid.", source.LogicalSector)
	}
	return nil
}

func (c *Cloud) deleteDisk(w http.ResponseWriter, r *http.Request, t target, _ []byte) {
	if _, ok := c.disks[fold(t.id)]; !ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	delete(c.disks, fold(t.id))
	c.accept(w, r, c.making(), c.nextFailure(), nil)
}

// RemoveDisk removes the disks of a name.
func (c *Cloud) RemoveDisk(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, d := range c.disks {
		if strings.EqualFold(d.Name, name) {
			delete(c.disks, id)
		}
	}
}
