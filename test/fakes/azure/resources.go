package azurefake

import (
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// Header is what all resources have. ID, Name, Kind and Subscription are made up
// or filled in when they are empty.
type Header struct {
	ID               string            `json:"id,omitempty"`
	Name             string            `json:"name,omitempty"`
	Kind             string            `json:"type,omitempty"`
	Location         string            `json:"location"`
	Tags             map[string]string `json:"tags,omitempty"`
	Zones            []string          `json:"zones,omitempty"`
	SKU              *SKU              `json:"sku,omitempty"`
	ExtendedLocation *ExtendedLocation `json:"extendedLocation,omitempty"`
}

// SKU is the type of a resource.
type SKU struct {
	Name string `json:"name"`
	Tier string `json:"tier,omitempty"`
}

// ExtendedLocation is an edge zone.
type ExtendedLocation struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// CreationData says what a resource is made of.
type CreationData struct {
	CreateOption     string `json:"createOption"`
	SourceResourceID string `json:"sourceResourceId,omitempty"`
	LogicalSector    int    `json:"logicalSectorSize,omitempty"`
	InstantAccess    int    `json:"instantAccessDurationMinutes,omitempty"`
}

// Encryption says with what key a resource is encrypted.
type Encryption struct {
	Type string `json:"type,omitempty"`
	Set  string `json:"diskEncryptionSetId,omitempty"`
}

// Access says from where a resource's content can be exported.
type Access struct {
	Encryption    *Encryption `json:"encryption,omitempty"`
	NetworkPolicy string      `json:"networkAccessPolicy,omitempty"`
	PublicNetwork string      `json:"publicNetworkAccess,omitempty"`
	DiskAccess    string      `json:"diskAccessId,omitempty"`
}

// Disk is a managed disk.
type Disk struct {
	Header
	Properties DiskProperties `json:"properties"`

	made made
}

// DiskProperties are those of a disk.
type DiskProperties struct {
	CreationData CreationData `json:"creationData"`
	Access
	SizeGB    int    `json:"diskSizeGB,omitempty"`
	IOPS      int64  `json:"diskIOPSReadWrite,omitempty"`
	MBps      int64  `json:"diskMBpsReadWrite,omitempty"`
	MaxShares int    `json:"maxShares,omitempty"`
	Tier      string `json:"tier,omitempty"`
	Bursting  *bool  `json:"burstingEnabled,omitempty"`
	State     string `json:"provisioningState,omitempty"`
}

// Snapshot is a snapshot of a managed disk.
type Snapshot struct {
	Header
	Properties SnapshotProperties `json:"properties"`

	made made
}

// SnapshotProperties are those of a snapshot.
type SnapshotProperties struct {
	CreationData CreationData `json:"creationData"`
	Access
	SizeGB      int      `json:"diskSizeGB,omitempty"`
	Incremental *bool    `json:"incremental,omitempty"`
	Percent     *float64 `json:"completionPercent,omitempty"`
	AccessState string   `json:"snapshotAccessState,omitempty"`
	State       string   `json:"provisioningState,omitempty"`
}

// made is the making of a resource.
type made struct {
	began  time.Time
	ready  time.Time
	failed bool
}

// state is the provisioning state of a resource. c.mu is held.
func (c *Cloud) state(m made) string {
	switch {
	case c.Now().Before(m.ready):
		return "Creating"
	case m.failed:
		return "Failed"
	}
	return "Succeeded"
}

// complete fills in what a resource gets when it is made.
func (h *Header) complete(t target) {
	h.ID, h.Name, h.Kind = t.id, t.name, t.kind
	if h.Location == "" {
		h.Location = Location
	}
}

// slow reports whether snapshots of disks of this type take long to be complete.
func slow(sku *SKU) bool {
	return sku != nil && (sku.Name == "PremiumV2_LRS" || sku.Name == "UltraSSD_LRS")
}

var resourceName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$`)

// checkHeader refuses names and tags that Azure refuses. c.mu is held.
func (c *Cloud) checkHeader(t target, h Header) *fakecloud.Refusal {
	switch {
	case !resourceName.MatchString(t.name):
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidParameter", "Parameter '%s' is invalid: a name has up to 80 characters.", t.name)
	case h.ID != "" || h.Name != "" || h.Kind != "":
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidRequestContent", "id, name and type are read-only.")
	case h.Location == "":
		return fakecloud.Refuse(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	case c.tagPolicy != "" && h.Tags[c.tagPolicy] == "":
		return fakecloud.Refuse(http.StatusForbidden, "RequestDisallowedByPolicy", "Resource '%s' was disallowed by policy. Policy identifiers: 'Require a tag on resources: %s'.", t.name, c.tagPolicy)
	}
	return checkTags(h.Tags)
}

func checkTags(tags map[string]string) *fakecloud.Refusal {
	if len(tags) > 50 {
		return fakecloud.Refuse(http.StatusBadRequest, "InvalidTags", "The number of tags exceeds the limit of 50.")
	}
	seen := map[string]bool{}
	for name, value := range tags {
		lower := strings.ToLower(name)
		switch {
		case seen[lower]:
			return fakecloud.Refuse(http.StatusBadRequest, "InvalidRequestContent", "The tag name '%s' is there twice.", name)
		case name == "" || utf8.RuneCountInString(name) > 512 || utf8.RuneCountInString(value) > 256:
			return fakecloud.Refuse(http.StatusBadRequest, "InvalidTagLength", "The tag '%s' is too long.", name)
		case strings.ContainsAny(name, `<>%&\?/`):
			return fakecloud.Refuse(http.StatusBadRequest, "InvalidTagNameCharacters", `The tag names '%s' have reserved characters '<,>,%%,&,\,?,/' or control characters.`, name)
		case strings.HasPrefix(lower, "microsoft"), strings.HasPrefix(lower, "azure"), strings.HasPrefix(lower, "windows"):
			return fakecloud.Refuse(http.StatusBadRequest, "ReservedTagName", "The tag name '%s' is reserved.", name)
		}
		seen[lower] = true
	}
	return nil
}
