//go:build tools

// Package velero pins a release of Velero: its plugin client, in a host that
// tests drive.
package velero

import (
	_ "github.com/oadp-plugins/oadp-plugins/test/hosts/host"
	_ "github.com/vmware-tanzu/velero/pkg/plugin/clientmgmt"
)
