package azuredisk

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// volumes is what is known of the disks behind persistent volumes. Velero hands on
// the bare name of a disk, but the disks of a cluster can be in several resource
// groups. It lasts as long as the process, whatever location the disks are for.
type volumes struct {
	mu     sync.Mutex
	places map[string][]place  // by the name of the disk in lower case
	read   map[string]readDisk // by the id of the disk in lower case
}

// readDisk is a disk that was read a moment ago.
type readDisk struct {
	disk *resource
	at   time.Time
}

// fresh is how long a disk that was read for its type counts for the snapshot that
// is taken of it next.
const fresh = time.Minute

// note remembers where a disk is.
func (v *volumes) note(name string, at place) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.places == nil {
		v.places = map[string][]place{}
	}
	key := strings.ToLower(name)
	for _, known := range v.places[key] {
		if strings.EqualFold(known.subscription, at.subscription) && strings.EqualFold(known.group, at.group) {
			return
		}
	}
	v.places[key] = append(v.places[key], at)
}

// known returns the places in which persistent volumes have a disk of that name.
func (v *volumes) known(name string) []place {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.places[strings.ToLower(name)]
}

// keep remembers a disk for what follows.
func (v *volumes) keep(id string, disk *resource, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.read == nil {
		v.read = map[string]readDisk{}
	}
	for other, r := range v.read {
		if now.Sub(r.at) > fresh {
			delete(v.read, other)
		}
	}
	v.read[strings.ToLower(id)] = readDisk{disk, now}
}

// take returns a disk that was read a moment ago, once, or nil.
func (v *volumes) take(id string, now time.Time) *resource {
	v.mu.Lock()
	defer v.mu.Unlock()
	r, ok := v.read[strings.ToLower(id)]
	delete(v.read, strings.ToLower(id))
	if !ok || now.Sub(r.at) > fresh {
		return nil
	}
	return r.disk
}

// diskPlace returns where the disk of a persistent volume is.
func (c *compute) diskPlace(name string) (place, error) {
	known := c.volumes.known(name)
	switch len(known) {
	case 0:
		return c.disksPlace()
	case 1:
		return known[0], nil
	}
	return place{}, &fault.Error{
		Code: CodeAmbiguous, What: "error finding disk " + name,
		Err: fmt.Errorf("persistent volumes have disks of that name in the resource groups %s of subscription %s and %s of subscription %s",
			known[0].group, known[0].subscription, known[1].group, known[1].subscription),
	}
}

// disksPlace returns where disks are made, and looked for when the persistent
// volume does not say it.
func (c *compute) disksPlace() (place, error) {
	p := place{
		cmp.Or(c.disksSubscription, c.identity.Subscription, c.subscription),
		cmp.Or(c.disksGroup, c.identity.Group, c.group),
	}
	return p, c.complete("disks", p, "disksSubscriptionId", "disksResourceGroup")
}

// snapshotPlace returns where the snapshot of a disk is made.
func (c *compute) snapshotPlace(disk place) (place, error) {
	p := place{
		cmp.Or(c.subscription, c.identity.Subscription, disk.subscription),
		cmp.Or(c.group, c.identity.Group, disk.group),
	}
	if strings.EqualFold(p.group, disk.group) && strings.HasPrefix(strings.ToUpper(p.group), "MC_") {
		c.groupWarning.Do(func() {
			c.log.Warn("snapshots are made in the node resource group of the cluster, and vanish with it: set resourceGroup in the config of the snapshot location", "resourceGroup", p.group)
		})
	}
	return p, c.complete("snapshots", p, "subscriptionId", "resourceGroup")
}

// complete reports what is not known of a place.
func (c *compute) complete(of string, p place, subscriptionKey, groupKey string) error {
	for _, missing := range []struct{ value, words, key, entry string }{
		{p.subscription, "subscription", subscriptionKey, "AZURE_SUBSCRIPTION_ID"}, {p.group, "resource group", groupKey, "AZURE_RESOURCE_GROUP"},
	} {
		if missing.value == "" {
			return &fault.Error{
				Code: CodeIncomplete, What: "the " + missing.words + " of the " + of + " is not known",
				Fix: "set " + missing.key + " in the config of the snapshot location, or " + c.identity.MissingCredential(missing.entry),
			}
		}
	}
	return nil
}
