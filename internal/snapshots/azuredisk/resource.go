package azuredisk

import (
	"net/url"
	"regexp"
)

// computeVersion is the version of the API for disks and snapshots. It is the first
// with instant access.
const computeVersion = "2025-01-02"

// resource is a disk or a snapshot, with the fields that are used here.
type resource struct {
	ID               string            `json:"id,omitempty"`
	Name             string            `json:"name,omitempty"`
	Location         string            `json:"location"`
	ExtendedLocation *extendedLocation `json:"extendedLocation,omitempty"`
	SKU              *sku              `json:"sku,omitempty"`
	Tags             map[string]string `json:"tags,omitempty"`
	Zones            []string          `json:"zones,omitempty"`
	Properties       properties        `json:"properties"`
}

type extendedLocation struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type sku struct {
	Name string `json:"name"`
}

type properties struct {
	CreationData        creationData `json:"creationData"`
	Encryption          *encryption  `json:"encryption,omitempty"`
	NetworkAccessPolicy string       `json:"networkAccessPolicy,omitempty"`
	PublicNetworkAccess string       `json:"publicNetworkAccess,omitempty"`
	DiskAccessID        string       `json:"diskAccessId,omitempty"`
	ProvisioningState   string       `json:"provisioningState,omitempty"`

	// Of disks.
	IOPS      int64  `json:"diskIOPSReadWrite,omitempty"`
	MBps      int64  `json:"diskMBpsReadWrite,omitempty"` // MB/s
	MaxShares int    `json:"maxShares,omitempty"`
	Tier      string `json:"tier,omitempty"`
	Bursting  *bool  `json:"burstingEnabled,omitempty"`

	// Of snapshots.
	Incremental       *bool    `json:"incremental,omitempty"`
	CompletionPercent *float64 `json:"completionPercent,omitempty"`
	AccessState       string   `json:"snapshotAccessState,omitempty"`
}

type creationData struct {
	CreateOption          string `json:"createOption"`
	SourceResourceID      string `json:"sourceResourceId,omitempty"`
	LogicalSectorSize     int    `json:"logicalSectorSize,omitempty"` // bytes
	InstantAccessDuration int    `json:"instantAccessDurationMinutes,omitempty"`
}

type encryption struct {
	Type string `json:"type,omitempty"`
	Set  string `json:"diskEncryptionSetId,omitempty"`
}

// skuName returns the type of a resource, "" when the service does not say it.
func (r *resource) skuName() string {
	if r.SKU == nil {
		return ""
	}
	return r.SKU.Name
}

// place is where disks or snapshots are.
type place struct{ subscription, group string }

// The kinds of resources.
const (
	diskType     = "disks"
	snapshotType = "snapshots"
)

// id returns the id of a resource in a place.
func (p place) id(kind, name string) string {
	return "/subscriptions/" + p.subscription + "/resourceGroups/" + p.group + "/providers/Microsoft.Compute/" + kind + "/" + name
}

var (
	diskID     = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Compute/disks/([^/]+)$`)
	anyDiskID  = regexp.MustCompile(`(?i)/Microsoft\.Compute/disks/([^/]+)$`)
	snapshotID = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.Compute/snapshots/([^/]+)$`)
)

// target is the address of a resource, below the service's.
func target(id string) string {
	return (&url.URL{Path: id}).EscapedPath() + "?api-version=" + computeVersion
}
