package azuredisk

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeNotReady = fault.Code{
		ID:      "AZDISK_NOT_INITIALIZED",
		Meaning: "A call came before the snapshotter had a configuration.",
		Fix:     "look in the log for the error of the initialization",
	}
	CodeIncomplete = fault.Code{
		ID:      "AZDISK_PLACE_UNKNOWN",
		Meaning: "Neither the configuration nor the credentials nor the persistent volume says in which subscription and resource group something is.",
		Fix:     "set subscriptionId and resourceGroup in the config of the snapshot location",
	}
	CodeAmbiguous = fault.Code{
		ID:      "AZDISK_AMBIGUOUS",
		Meaning: "Disks of one name are in several resource groups, and Velero hands on the name alone.",
		Fix:     "back up these volumes in backups of their own, or through CSI",
	}
	CodeDiskNotFound = fault.Code{
		ID:      "AZDISK_DISK_MISSING",
		Meaning: "The disk is not in the subscription and resource group.",
		Fix:     "set disksResourceGroup and disksSubscriptionId, or AZURE_RESOURCE_GROUP of the credentials, to those of the cluster's disks: with AKS the group MC_...",
	}
	CodeSnapshotNotFound = fault.Code{
		ID:      "AZDISK_SNAPSHOT_MISSING",
		Meaning: "The snapshot is gone.",
		Fix:     "restore from another backup; a snapshot in the node resource group of a cluster (MC_...) vanishes with the cluster",
	}
	CodeSnapshotID = fault.Code{
		ID:      "AZDISK_SNAPSHOT_ID_INVALID",
		Meaning: "The id of a snapshot in the backup is not one of a managed disk's snapshot.",
		Fix:     "check that the snapshot location is of the provider that took the backup",
	}
	CodePending = fault.Code{
		ID:      "AZDISK_SNAPSHOT_PENDING",
		Meaning: "The snapshot was still being copied after the time limit.",
		Fix:     "restore again later, raise snapshotReadyTimeout, or set instantAccessMinutes in the config of the snapshot location for further backups",
	}
	CodeTimeout = fault.Code{
		ID:      "AZDISK_TIMEOUT",
		Meaning: "Azure did not complete the operation in time, and what had been begun was removed.",
		Fix:     "try again, or raise apiTimeout in the config of the snapshot location",
	}
	CodeIncremental = fault.Code{
		ID:      "AZDISK_INCREMENTAL_ONLY",
		Meaning: "Disks of this type have incremental snapshots only.",
		Fix:     "remove incremental from the config of the snapshot location, or set it to true",
	}
	CodeTenant = fault.Code{
		ID:      "AZDISK_OTHER_TENANT",
		Meaning: "A disk and its snapshot are in subscriptions of which the identity can use only one.",
		Fix:     "give the identity a role in both subscriptions, which have to be of one tenant: Azure copies no snapshot to another tenant",
	}
	CodeEncryption = fault.Code{
		ID:      "AZDISK_ENCRYPTION_SET",
		Meaning: "The disk encryption set cannot be used.",
		Fix:     "allow the identity Microsoft.Compute/diskEncryptionSets/read on the set, check that the set may use its key and is in the region of the disk, or choose another with diskEncryptionSetId",
	}
	CodeLimit = fault.Code{
		ID:      "AZDISK_QUOTA",
		Meaning: "A quota of the subscription for disks or snapshots is used up.",
		Fix:     "raise the quota, or let backups expire earlier; a disk has up to 500 incremental snapshots",
	}
	CodeRefused = fault.Code{
		ID:      "AZDISK_REFUSED",
		Meaning: "Azure refuses the request as it is: a type, a zone, a size or a tag that it does not allow.",
		Fix:     "see the cause; diskSKU and zone in the config of the snapshot location change the type and the zone of restored disks",
	}
	CodePersistentVolume = fault.Code{
		ID:      "AZDISK_PV_UNSUPPORTED",
		Meaning: "The PersistentVolume is not on a managed disk, or names none.",
		Fix:     "use a snapshot location of the volume's own provider, or back the volume up through CSI or the file system",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeNotReady, CodeIncomplete, CodeAmbiguous, CodeDiskNotFound, CodeSnapshotNotFound, CodeSnapshotID, CodePending,
	CodeTimeout, CodeIncremental, CodeTenant, CodeEncryption, CodeLimit, CodeRefused, CodePersistentVolume,
}

// serviceCodes maps what Azure Resource Manager answers, besides what package
// azureaccess knows.
var serviceCodes = map[string]fault.Code{
	"QuotaExceeded":                      CodeLimit,
	"SnapshotCountExceeded":              CodeLimit,
	"OperationNotAllowed":                CodeRefused,
	"InvalidParameter":                   CodeRefused,
	"InvalidAvailabilityZone":            CodeRefused,
	"SkuNotAvailable":                    CodeRefused,
	"InvalidTagNameCharacters":           CodeRefused,
	"InvalidRequestContent":              CodeRefused,
	"DiskEncryptionSetFailed":            CodeEncryption,
	"KeyVaultAccessForbidden":            CodeEncryption,
	"DiskEncryptionSetNotFound":          CodeEncryption,
	"KeyVaultKeyNotFound":                CodeEncryption,
	"InvalidDiskEncryptionSet":           CodeEncryption,
	"DiskEncryptionSetIdentityForbidden": CodeEncryption,
}

// explain returns err as an error that says what failed and what to do.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, known)
	}
	if code, ok := serviceCodes[azureaccess.ErrorCode(err)]; ok && azureaccess.Status(err) != http.StatusTooManyRequests {
		return &fault.Error{Code: code, What: what, Err: azureaccess.Plain(err)}
	}
	return azureaccess.ManagerFault(what, err)
}

// diskFault explains that a disk is missing, and leaves other errors as they are.
func diskFault(err error) error { return missing(err, CodeDiskNotFound) }

// snapshotFault explains that a snapshot is missing.
func snapshotFault(err error) error { return missing(err, CodeSnapshotNotFound) }

func missing(err error, code fault.Code) error {
	if azureaccess.Status(err) != http.StatusNotFound {
		return err
	}
	return &fault.Error{Code: code, Err: azureaccess.Plain(err)}
}
