package awsfake

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

type volumeItem struct {
	VolumeID    string    `xml:"volumeId"`
	Size        int       `xml:"size"`
	SnapshotID  string    `xml:"snapshotId"`
	Zone        string    `xml:"availabilityZone"`
	Status      string    `xml:"status"`
	Created     string    `xml:"createTime"`
	Attachments string    `xml:"attachmentSet"`
	Tags        []tagItem `xml:"tagSet>item"`
	Type        string    `xml:"volumeType"`
	IOPS        int       `xml:"iops,omitempty"`
	Throughput  int       `xml:"throughput,omitempty"`
	Encrypted   bool      `xml:"encrypted"`
	KMSKeyID    string    `xml:"kmsKeyId,omitempty"`
	MultiAttach bool      `xml:"multiAttachEnabled"`
	Outpost     string    `xml:"outpostArn,omitempty"`
}

func (c *Cloud) volumeItem(v *Volume) volumeItem {
	status := "available"
	if c.Now().Before(v.created.Add(c.storage.volumeTime)) || v.keyRefused {
		status = "creating"
	}
	return volumeItem{
		VolumeID: v.ID, Size: v.Size, SnapshotID: v.SnapshotID, Zone: v.Zone, Status: status,
		Created: v.created.UTC().Format(time.RFC3339), Tags: tagItems(v.Tags), Type: v.Type,
		IOPS: v.reportedIOPS(), Throughput: v.Throughput, Encrypted: v.Encrypted, KMSKeyID: v.KMSKeyID, MultiAttach: v.MultiAttach, Outpost: v.Outpost,
	}
}

// reportedIOPS are those of the type when none were asked for: EC2 also reports
// them for gp2, where they follow from the size.
func (v *Volume) reportedIOPS() int {
	if v.IOPS == 0 && v.Type == "gp2" {
		return max(100, 3*v.Size)
	}
	return v.IOPS
}

func (c *Cloud) describeVolumes(k Keys, f *form) (any, *fakecloud.Refusal) {
	ids, filters := f.list("VolumeId"), f.filters()
	all := slices.Sorted(maps.Keys(c.storage.volumes))
	if len(ids) > 0 {
		all = ids
	}
	some, next := page(f, all)
	if refusal := f.problem(); refusal != nil {
		return nil, refusal
	}
	if refusal := c.permit(k, f, "volume/*", "ec2:DescribeVolumes"); refusal != nil {
		return nil, refusal
	}
	answer := struct {
		head
		Volumes   []volumeItem `xml:"volumeSet>item"`
		NextToken string       `xml:"nextToken,omitempty"`
	}{head: head{fakecloud.RequestID}, NextToken: next}
	for _, id := range some {
		v, refusal := c.volume(id)
		if refusal != nil && len(ids) == 0 {
			continue // gone, and not asked for
		}
		if refusal != nil {
			return nil, refusal
		}
		fields := map[string]string{"volume-id": v.ID, "availability-zone": v.Zone, "snapshot-id": v.SnapshotID, "volume-type": v.Type}
		match, refusal := matches(filters, fields, v.Tags)
		if refusal != nil {
			return nil, refusal
		}
		if match {
			answer.Volumes = append(answer.Volumes, c.volumeItem(v))
		}
	}
	return answer, nil
}

// volume looks up a volume. One whose key cannot be used is seen once, if at
// all.
func (c *Cloud) volume(id string) (*Volume, *fakecloud.Refusal) {
	if !strings.HasPrefix(id, "vol-") {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidParameterValue", "Value (%s) for parameter volumeId is invalid. Expected: 'vol-...'.", id)
	}
	v, ok := c.storage.volumes[id]
	if !ok || v.keyRefused && (v.seen || c.storage.vanishUnseen) {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	}
	v.seen = true
	return v, nil
}

// performance is what a volume type can be created with.
type performance struct{ minIOPS, maxIOPS, maxThroughput int }

var performances = map[string]performance{
	"gp2": {}, "st1": {}, "sc1": {}, "standard": {},
	"gp3": {3000, 16000, 1000},
	"io1": {100, 64000, 0},
	"io2": {100, 256000, 0},
}

// check refuses what a volume type does not have.
func (v *Volume) check(f *form) {
	p, known := performances[v.Type]
	switch {
	case !known:
		f.fail("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid.", v.Type)
	case v.IOPS > 0 && p.maxIOPS == 0:
		f.fail("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", v.Type)
	case v.IOPS > 0 && (v.IOPS < p.minIOPS || v.IOPS > p.maxIOPS):
		f.fail("InvalidParameterValue", "Volume iops of %d is out of range for %s.", v.IOPS, v.Type)
	case v.IOPS == 0 && strings.HasPrefix(v.Type, "io"):
		f.fail("MissingParameter", "The parameter iops must be specified for %s volumes.", v.Type)
	case v.Throughput > 0 && (v.Throughput < 125 || v.Throughput > p.maxThroughput):
		f.fail("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", v.Type)
	case v.MultiAttach && !strings.HasPrefix(v.Type, "io"):
		f.fail("InvalidParameterCombination", "Multi-Attach is not supported for %s volumes.", v.Type)
	case v.KMSKeyID != "" && !v.Encrypted:
		f.fail("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
}

// kmsPermissions are those that EBS uses in the name of the caller.
var kmsPermissions = []string{
	"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo",
}

func (c *Cloud) allowsKMS() bool {
	return !slices.ContainsFunc(kmsPermissions, func(p string) bool { return !c.Allows(p) })
}

func (c *Cloud) createVolume(k Keys, f *form) (any, *fakecloud.Refusal) {
	v := Volume{
		Zone: f.required("AvailabilityZone"), Type: f.text("VolumeType"), SnapshotID: f.required("SnapshotId"),
		IOPS: f.number("Iops"), Throughput: f.number("Throughput"), MultiAttach: f.bool("MultiAttachEnabled"),
		Encrypted: f.bool("Encrypted"), KMSKeyID: f.text("KmsKeyId"), Tags: f.tags("volume"), Outpost: f.text("OutpostArn"), token: f.required("ClientToken"),
		created: c.Now(),
	}
	if v.Type == "" {
		v.Type = "gp2"
	}
	v.check(f)
	permissions := []string{"ec2:CreateVolume"}
	if len(v.Tags) > 0 {
		permissions = append(permissions, "ec2:CreateTags")
	}
	if zone, ok := strings.CutPrefix(v.Zone, c.region); !ok || !slices.Contains(c.storage.zones, zone) {
		f.fail("InvalidZone.NotFound", "The zone '%s' does not exist.", v.Zone)
	}
	if refusal := f.problem(); refusal != nil {
		return nil, refusal
	}
	s, refusal := c.snapshot(v.SnapshotID)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := c.permit(k, f, "volume/*", permissions...); refusal != nil {
		return nil, refusal
	}
	for _, old := range c.storage.volumes {
		if old.token == v.token {
			return c.sameVolume(old, v)
		}
	}
	if status := c.snapshotItem(s).Status; status != "completed" {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "IncorrectState", "Snapshot is in invalid state - %s", status)
	}
	v.Size, v.Encrypted = s.Size, v.Encrypted || s.Encrypted
	v.keyRefused = v.Encrypted && !c.allowsKMS()
	v.ID = c.nextID("vol")
	c.storage.volumes[v.ID] = &v
	return c.volumeAnswer(&v), nil
}

// sameVolume answers a request that was sent before.
func (c *Cloud) sameVolume(old *Volume, again Volume) (any, *fakecloud.Refusal) {
	if old.SnapshotID != again.SnapshotID || old.Zone != again.Zone || old.Type != again.Type || !maps.Equal(old.Tags, again.Tags) {
		return nil, fakecloud.Refuse(http.StatusBadRequest, "IdempotentParameterMismatch", "The client token %s was used with other parameters.", strconv.Quote(again.token))
	}
	return c.volumeAnswer(old), nil
}

func (c *Cloud) volumeAnswer(v *Volume) any {
	item := c.volumeItem(v)
	item.Status = "creating"
	return struct {
		head
		volumeItem
	}{head{fakecloud.RequestID}, item}
}
