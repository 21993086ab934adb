package main

import (
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/plugins/kubevirt/codes"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

func unsafe(why string) error {
	return &fault.Error{Code: codes.Unsafe, What: "the virtual machine is running and cannot be backed up safely: " + why}
}

func diskMissing(what, why string) error {
	return &fault.Error{Code: codes.DiskMissing, What: fmt.Sprintf("%s is not in the backup: %s", what, why)}
}

func policyUnreadable(b sdk.Backup, name string, err error) error {
	return &fault.Error{Code: codes.PolicyUnreadable, What: fmt.Sprintf("ConfigMap %s/%s", b.Namespace(), name), Err: err}
}

func badOption(label, value, wanted string) error {
	return &fault.Error{Code: codes.BadOption, What: fmt.Sprintf("label %s=%q of the Restore: %s", label, value, wanted)}
}
