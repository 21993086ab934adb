// Package codes has the codes of the errors of the kubevirt plugin. It is a package of its
// own so that internal/docgen can import it for docs/errors.md: no package can import
// the plugin itself, which is a program.
package codes

import "github.com/oadp-plugins/oadp-plugins/sdk/fault"

// The codes, each a row in docs/errors.md.
var (
	Unsafe = fault.Code{
		ID:      "KUBEVIRT_RUNNING_MACHINE_INCOMPLETE",
		Meaning: "A backup has the disks of a running virtual machine, or the machine itself, but not the objects with which the guest is frozen and restored.",
		Fix:     "include what the error names in the backup, or stop the virtual machine, or label the Backup velero.kubevirt.io/metadataBackup=true if its disks are saved in another way",
	}
	DiskMissing = fault.Code{
		ID:      "KUBEVIRT_DISK_EXCLUDED",
		Meaning: "A backup has a virtual machine but not one of its disks, so the machine could not start after a restore.",
		Fix:     "include the disk in the backup, exclude the virtual machine too, or label the Backup velero.kubevirt.io/metadataBackup=true if its disks are saved in another way",
	}
	PolicyUnreadable = fault.Code{
		ID:      "KUBEVIRT_POLICY_UNREADABLE",
		Meaning: "The ConfigMap with the resource policies of a backup cannot be read, so it is not known which resources the backup holds.",
		Fix:     "create the ConfigMap that spec.resourcePolicy of the Backup names, in the namespace of Velero, with valid YAML",
	}
	BadOption = fault.Code{
		ID:      "KUBEVIRT_BAD_RESTORE_LABEL",
		Meaning: "A label of a Restore has a value that the plugin does not know, or contradicts another one.",
		Fix:     "delete the Restore and create it again with a value that the error names",
	}
)

// All lists the codes of this package.
var All = []fault.Code{Unsafe, DiskMissing, PolicyUnreadable, BadOption}
