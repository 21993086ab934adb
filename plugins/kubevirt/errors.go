package main

import (
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of the actions.
var (
	codeUnsafe = fault.Code{
		ID:      "KUBEVIRT_RUNNING_MACHINE_INCOMPLETE",
		Meaning: "A backup has the disks of a running virtual machine, or the machine itself, but not the objects with which the guest is frozen and restored.",
		Fix:     "include what the error names in the backup, or stop the virtual machine, or label the Backup velero.kubevirt.io/metadataBackup=true if its disks are saved in another way",
	}
	codeDiskMissing = fault.Code{
		ID:      "KUBEVIRT_DISK_EXCLUDED",
		Meaning: "A backup has a virtual machine but not one of its disks, so the machine could not start after a restore.",
		Fix:     "include the disk in the backup, exclude the virtual machine too, or label the Backup velero.kubevirt.io/metadataBackup=true if its disks are saved in another way",
	}
	codePolicyUnreadable = fault.Code{
		ID:      "KUBEVIRT_POLICY_UNREADABLE",
		Meaning: "The ConfigMap with the resource policies of a backup cannot be read, so it is not known which resources the backup holds.",
		Fix:     "create the ConfigMap that spec.resourcePolicy of the Backup names, in the namespace of Velero, with valid YAML",
	}
	codeBadOption = fault.Code{
		ID:      "KUBEVIRT_BAD_RESTORE_LABEL",
		Meaning: "A label of a Restore has a value that the plugin does not know, or contradicts another one.",
		Fix:     "delete the Restore and create it again with a value that the error names",
	}
)

func unsafe(why string) error {
	return &fault.Error{Code: codeUnsafe, What: "the virtual machine is running and cannot be backed up safely: " + why}
}

func diskMissing(what, why string) error {
	return &fault.Error{Code: codeDiskMissing, What: fmt.Sprintf("%s is not in the backup: %s", what, why)}
}

func policyUnreadable(b sdk.Backup, name string, err error) error {
	return &fault.Error{Code: codePolicyUnreadable, What: fmt.Sprintf("ConfigMap %s/%s", b.Namespace(), name), Err: err}
}

func badOption(label, value, wanted string) error {
	return &fault.Error{Code: codeBadOption, What: fmt.Sprintf("label %s=%q of the Restore: %s", label, value, wanted)}
}
