package awsfake

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

type snapshotItem struct {
	SnapshotID    string    `xml:"snapshotId"`
	VolumeID      string    `xml:"volumeId"`
	Status        string    `xml:"status"`
	StatusMessage string    `xml:"statusMessage,omitempty"`
	Started       string    `xml:"startTime"`
	Progress      string    `xml:"progress"`
	OwnerID       string    `xml:"ownerId"`
	Size          int       `xml:"volumeSize"`
	Description   string    `xml:"description"`
	Tags          []tagItem `xml:"tagSet>item"`
	Encrypted     bool      `xml:"encrypted"`
}

func (c *Cloud) snapshotItem(s *Snapshot) snapshotItem {
	item := snapshotItem{
		SnapshotID: s.ID, VolumeID: s.VolumeID, Status: "completed", StatusMessage: s.Error, Progress: "100%",
		Started: s.Started.UTC().Format("2006-01-02T15:04:05.000Z"), OwnerID: Account, Size: s.Size, Tags: tagItems(s.Tags), Encrypted: s.Encrypted,
	}
	switch {
	case s.Error != "":
		item.Status, item.Progress = "error", "0%"
	case c.Now().Before(s.Started.Add(c.storage.snapshotTime)):
		item.Status, item.Progress = "pending", "50%"
	}
	return item
}

func (c *Cloud) describeSnapshots(k Keys, f *form) (any, *fakecloud.Refusal) {
	ids, filters := f.list("SnapshotId"), f.filters()
	for _, owner := range f.list("Owner") {
		if owner != "self" && owner != Account {
			f.fail("InvalidUserID.Malformed", "Invalid user id: \"%s\"", owner)
		}
	}
	all := slices.Sorted(maps.Keys(c.storage.snapshots))
	if len(ids) > 0 {
		all = ids
	}
	some, next := page(f, all)
	if refusal := f.problem(); refusal != nil {
		return nil, refusal
	}
	if refusal := c.permit(k, f, "snapshot/*", "ec2:DescribeSnapshots"); refusal != nil {
		return nil, refusal
	}
	answer := struct {
		head
		Snapshots []snapshotItem `xml:"snapshotSet>item"`
		NextToken string         `xml:"nextToken,omitempty"`
	}{head: head{fakecloud.RequestID}, NextToken: next}
	for _, id := range some {
		s, refusal := c.snapshot(id)
		if refusal != nil {
			return nil, refusal
		}
		item := c.snapshotItem(s)
		match, refusal := matches(filters, map[string]string{"snapshot-id": s.ID, "volume-id": s.VolumeID, "status": item.Status}, s.Tags)
		if refusal != nil {
			return nil, refusal
		}
		if match {
			answer.Snapshots = append(answer.Snapshots, item)
		}
	}
	return answer, nil
}

func (c *Cloud) snapshot(id string) (*Snapshot, *fakecloud.Refusal) {
	if !strings.HasPrefix(id, "snap-") {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidParameterValue", "Value (%s) for parameter snapshotId is invalid. Expected: 'snap-...'.", id)
	}
	s, ok := c.storage.snapshots[id]
	if !ok {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	}
	return s, nil
}

// snapshotPause is how far apart the snapshots of a volume have to be.
const snapshotPause = 15 * time.Second

func (c *Cloud) createSnapshot(k Keys, f *form) (any, *fakecloud.Refusal) {
	volumeID, tags := f.required("VolumeId"), f.tags("snapshot")
	permissions := []string{"ec2:CreateSnapshot"}
	if len(tags) > 0 {
		permissions = append(permissions, "ec2:CreateTags")
	}
	if refusal := f.problem(); refusal != nil {
		return nil, refusal
	}
	v, refusal := c.volume(volumeID)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := c.permit(k, f, "volume/"+volumeID, permissions...); refusal != nil {
		return nil, refusal
	}
	for _, s := range c.storage.snapshots {
		if s.VolumeID == volumeID && c.Now().Sub(s.Started) < snapshotPause {
			return nil, fakecloud.Refuse(http.StatusBadRequest, "SnapshotCreationPerVolumeRateExceeded", "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.")
		}
	}
	s := &Snapshot{ID: c.nextID("snap"), VolumeID: volumeID, Size: v.Size, Encrypted: v.Encrypted, Tags: tags, Started: c.Now()}
	c.storage.snapshots[s.ID] = s
	item := c.snapshotItem(s)
	item.Status, item.Progress = "pending", ""
	return struct {
		head
		snapshotItem
	}{head{fakecloud.RequestID}, item}, nil
}

func (c *Cloud) deleteSnapshot(k Keys, f *form) (any, *fakecloud.Refusal) {
	id := f.required("SnapshotId")
	if refusal := f.problem(); refusal != nil {
		return nil, refusal
	}
	s, refusal := c.snapshot(id)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := c.permit(k, f, "snapshot/"+id, "ec2:DeleteSnapshot"); refusal != nil {
		return nil, refusal
	}
	if s.InUse {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidSnapshot.InUse", "The snapshot %s is currently in use by ami-0123456789abcdef0", id)
	}
	delete(c.storage.snapshots, id)
	return struct {
		head
		Return bool `xml:"return"`
	}{head{fakecloud.RequestID}, true}, nil
}
