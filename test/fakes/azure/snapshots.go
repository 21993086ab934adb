package azurefake

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// AddSnapshot adds a snapshot, such as one of another plugin, and returns its id.
func (c *Cloud) AddSnapshot(group, name string, s Snapshot) string {
	return c.AddSnapshotIn(c.Subscription, group, name, s)
}

// AddSnapshotIn adds a snapshot to another subscription.
func (c *Cloud) AddSnapshotIn(subscription, group, name string, s Snapshot) string {
	t, _ := targetOf("/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.Compute/snapshots/" + name)
	s.complete(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshots[fold(t.id)] = &s
	return t.id
}

// Snapshot returns the snapshot of an id, or false.
func (c *Cloud) Snapshot(id string) (Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.snapshots[fold(id)]
	if !ok {
		return Snapshot{}, false
	}
	return c.viewSnapshot(s), true
}

// Snapshots returns the ids of all snapshots, in order.
func (c *Cloud) Snapshots() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, s := range c.snapshots {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

// SetCopyTime says how long a snapshot of an Ultra or Premium SSD v2 disk is
// copied in the background.
func (c *Cloud) SetCopyTime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copyTime = d
}

func (c *Cloud) viewSnapshot(s *Snapshot) Snapshot {
	view := *s
	view.Properties.State = c.state(s.made)
	percent, access := 100.0, "Available"
	instant := s.Properties.CreationData.InstantAccess
	if elapsed := c.Now().Sub(s.made.began); s.Properties.Percent == nil && c.copies(s) && elapsed < c.copyTime {
		percent, access = float64(int(100*elapsed/c.copyTime)), "Pending"
		if instant > 0 {
			access = "InstantAccess"
		}
	} else if s.Properties.Percent != nil {
		percent = *s.Properties.Percent
	} else if instant > 0 {
		access = "AvailableWithInstantAccess"
	}
	view.Properties.Percent = &percent
	if view.Properties.AccessState == "" {
		view.Properties.AccessState = access
	}
	return view
}

// copies reports whether the snapshot is of a disk whose content is copied.
func (c *Cloud) copies(s *Snapshot) bool {
	d, ok := c.disks[fold(s.Properties.CreationData.SourceResourceID)]
	return ok && slow(d.SKU)
}

func (c *Cloud) getSnapshot(w http.ResponseWriter, _ *http.Request, t target, _ []byte) {
	s, ok := c.snapshots[fold(t.id)]
	if !ok {
		writeError(w, notFound(t))
		return
	}
	writeJSON(w, http.StatusOK, c.viewSnapshot(s))
}

func (c *Cloud) putSnapshot(w http.ResponseWriter, r *http.Request, t target, content []byte) {
	var s Snapshot
	refusal := decode(content, &s)
	if refusal == nil {
		refusal = c.checkHeader(t, s.Header)
	}
	if refusal == nil {
		refusal = c.checkSnapshot(s)
	}
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	s.Properties.SizeGB = c.disks[fold(s.Properties.CreationData.SourceResourceID)].Properties.SizeGB
	s.complete(t)
	s.made = c.making()
	failure := c.nextFailure()
	s.made.failed = failure != nil
	c.snapshots[fold(t.id)] = &s
	view := c.viewSnapshot(&s)
	view.Properties.State = "Creating" // the answer comes before the end, however soon that is
	c.accept(w, r, s.made, failure, view)
}

// checkSnapshot refuses what no snapshot can be made with. c.mu is held.
func (c *Cloud) checkSnapshot(s Snapshot) *fakecloud.Refusal {
	source := s.Properties.CreationData
	d, ok := c.disks[fold(source.SourceResourceID)]
	incremental := s.Properties.Incremental != nil && *s.Properties.Incremental
	switch {
	case source.CreateOption != "Copy":
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The create option '%s' is not allowed here.", source.CreateOption)
	case !ok:
		return fakecloud.Refuse(http.StatusNotFound, "NotFound", "Disk %s is not found.", source.SourceResourceID)
	case !strings.EqualFold(d.Location, s.Location):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "Source and destination have to be in the same region: %s and %s.", d.Location, s.Location)
	case slow(d.SKU) && !incremental:
		return fakecloud.Refuse(http.StatusBadRequest, "OperationNotAllowed", "Only incremental snapshots of disks of type %s are supported.", d.SKU.Name)
	case source.InstantAccess != 0 && (!slow(d.SKU) || source.InstantAccess < 60 || source.InstantAccess > 300):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The value '%d' of parameter 'instantAccessDurationMinutes' is not allowed for a disk of type %s.", source.InstantAccess, d.SKU.Name)
	case source.LogicalSector != 0, s.Properties.Percent != nil, s.Properties.AccessState != "", len(s.Zones) > 0:
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidRequestContent", "A snapshot has no such field.")
	case s.SKU != nil && !slices.Contains([]string{"Standard_LRS", "Standard_ZRS", "Premium_LRS"}, s.SKU.Name):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "The value '%s' of parameter 'sku.name' is invalid.", s.SKU.Name)
	case s.Properties.NetworkPolicy == "AllowPrivate" && s.Properties.DiskAccess == "":
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "diskAccessId is required with the network access policy AllowPrivate.")
	}
	return nil
}

func (c *Cloud) deleteSnapshot(w http.ResponseWriter, r *http.Request, t target, _ []byte) {
	if _, ok := c.snapshots[fold(t.id)]; !ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	delete(c.snapshots, fold(t.id))
	c.accept(w, r, c.making(), c.nextFailure(), nil)
}
