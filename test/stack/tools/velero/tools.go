//go:build tools

// Package velero pins the Velero server and command line of the test stack.
package velero

import _ "github.com/vmware-tanzu/velero/cmd/velero"
