package azuredisk

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// configKeys are the keys of a VolumeSnapshotLocation. The OADP operator lets only
// the first four besides the credentials into a location; the others have a
// variable as well.
func configKeys() config.Keys {
	keys := config.Keys{
		config.String("credentialsFile", "path of a credentials file; Velero sets it for spec.credential").Note("that of AZURE_CREDENTIALS_FILE"),
		config.String("resourceGroup", "resource group of the snapshots").Note("AZURE_RESOURCE_GROUP of the credentials, else that of the disk"),
		config.String("subscriptionId", "subscription of the snapshots").Note("AZURE_SUBSCRIPTION_ID of the credentials, else that of the disk"),
		config.Duration("apiTimeout", 2*time.Minute, "how long it may take to make or delete a snapshot or a disk"),
		config.Custom("incremental", "bool", "make incremental snapshots", parseOptionalBool).Note("Azure's default; true for Premium SSD v2 and Ultra disks, which have no others"),
	}
	extensions := slices.Concat(config.Keys{
		config.Custom("tags", "map k1=v1,k2=v2", "tags of each snapshot, and of the disks made of it", parseTags),
		config.Choice("snapshotSKU", "type of the snapshots' storage", "Standard_LRS", "Standard_ZRS", "Premium_LRS").Note("Azure's default"),
		config.Choice("diskSKU", "type of restored disks", diskSKUs...).Note("that of the disk in the backup"),
		config.String("diskEncryptionSetId", "id of the disk encryption set for snapshots and restored disks").Note("that of the disk"),
		config.String("disksResourceGroup", "resource group of the disks").Note("AZURE_RESOURCE_GROUP of the credentials; in a backup that of the persistent volume"),
		config.String("disksSubscriptionId", "subscription of the disks").Note("AZURE_SUBSCRIPTION_ID of the credentials; in a backup that of the persistent volume"),
		config.Custom("zone", "1, 2 or 3", "availability zone of restored disks", parseZone).Note("that of the disk in the backup"),
		config.Int("instantAccessMinutes", 0, 0, 300, "minutes, from 60, in which a disk can be restored from a snapshot of a Premium SSD v2 or Ultra disk that is still being copied; 0: none"),
		config.Duration("snapshotReadyTimeout", 30*time.Minute, "how long a restore waits for a snapshot that is still being copied"),
		config.String("caCert", "PEM certificates that are trusted besides the system's"),
	}, azureaccess.Keys())
	for _, key := range extensions {
		keys = append(keys, key.OrEnv(variables[key.Name]))
	}
	return keys
}

// variables are the environment variables that set keys where the location does not.
var variables = map[string]string{
	"tags":                        "OADP_AZURE_VSL_TAGS",
	"snapshotSKU":                 "OADP_AZURE_VSL_SNAPSHOT_SKU",
	"diskSKU":                     "OADP_AZURE_VSL_DISK_SKU",
	"diskEncryptionSetId":         "OADP_AZURE_VSL_DISK_ENCRYPTION_SET_ID",
	"disksResourceGroup":          "OADP_AZURE_VSL_DISKS_RESOURCE_GROUP",
	"disksSubscriptionId":         "OADP_AZURE_VSL_DISKS_SUBSCRIPTION_ID",
	"zone":                        "OADP_AZURE_VSL_ZONE",
	"instantAccessMinutes":        "OADP_AZURE_VSL_INSTANT_ACCESS_MINUTES",
	"snapshotReadyTimeout":        "OADP_AZURE_VSL_SNAPSHOT_READY_TIMEOUT",
	"caCert":                      "OADP_AZURE_VSL_CA_CERT",
	"activeDirectoryAuthorityURI": "OADP_AZURE_VSL_ACTIVE_DIRECTORY_AUTHORITY_URI",
	"resourceManagerEndpoint":     "OADP_AZURE_VSL_RESOURCE_MANAGER_ENDPOINT",
	"resourceManagerAudience":     "OADP_AZURE_VSL_RESOURCE_MANAGER_AUDIENCE",
	"disableInstanceDiscovery":    "OADP_AZURE_VSL_DISABLE_INSTANCE_DISCOVERY",
}

// The types of managed disks.
const (
	ultra     = "UltraSSD_LRS"
	premiumV2 = "PremiumV2_LRS"
)

var diskSKUs = []string{"Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS", premiumV2, ultra}

// hasPerformance reports whether disks of a type have IOPS, throughput and a sector
// size of their own, and snapshots that are copied in the background.
func hasPerformance(sku string) bool { return sku == ultra || sku == premiumV2 }

// settings are a checked configuration.
type settings struct {
	group, subscription           string // of snapshots, "" for the credentials'
	disksGroup, disksSubscription string // "" for the credentials'

	trust  endpoint.Trust
	access azureaccess.Access

	apiTimeout           time.Duration
	snapshotReadyTimeout time.Duration
	incremental          *bool // nil leaves it to Azure
	tags                 map[string]string
	snapshotSKU          string
	diskSKU              string
	encryptionSet        string
	zone                 string
	instantAccess        int // minutes
}

// parseSettings makes all checks that need neither a file nor the network.
func parseSettings(m map[string]string) (settings, error) {
	v, err := configKeys().Parse(m)
	if _, ok := m["region"]; ok {
		err = errors.Join(err, errors.New(azureaccess.RegionKey))
	}
	s := settings{
		group:                v.String("resourceGroup"),
		subscription:         v.String("subscriptionId"),
		disksGroup:           v.String("disksResourceGroup"),
		disksSubscription:    v.String("disksSubscriptionId"),
		trust:                endpoint.Trust{CACert: v.String("caCert")},
		access:               azureaccess.AccessOf(v),
		apiTimeout:           v.Duration("apiTimeout"),
		snapshotReadyTimeout: v.Duration("snapshotReadyTimeout"),
		incremental:          config.Get[*bool](v, "incremental"),
		tags:                 config.Get[map[string]string](v, "tags"),
		snapshotSKU:          v.String("snapshotSKU"),
		diskSKU:              v.String("diskSKU"),
		encryptionSet:        v.String("diskEncryptionSetId"),
		zone:                 config.Get[string](v, "zone"),
		instantAccess:        v.Int("instantAccessMinutes"),
	}
	if s.instantAccess > 0 && s.instantAccess < 60 {
		err = errors.Join(err, config.Invalid("instantAccessMinutes", strconv.Itoa(s.instantAccess), errors.New("expected 0, or a whole number from 60 to 300")))
	}
	return s, err
}

func parseOptionalBool(text string) (*bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, errors.New("expected bool")
	}
	return &b, nil
}

var zoneNumber = regexp.MustCompile(`^[1-9][0-9]*$`)

func parseZone(text string) (string, error) {
	if !zoneNumber.MatchString(text) {
		return "", errors.New("expected the number of a zone, such as 1")
	}
	return text, nil
}

// parseTags reads the tags that every snapshot gets.
func parseTags(text string) (map[string]string, error) {
	tags := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || strings.Contains(value, "=") {
			return nil, fmt.Errorf("expected tags of the form k1=v1,k2=v2, got %q", pair)
		}
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		tags[key] = value
	}
	return tags, nil
}
