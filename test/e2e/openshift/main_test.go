// Package openshift backs up a namespace of OpenShift with the real Velero
// server and the built plugins, and restores it into another namespace and
// another cluster. Custom resources stand in for OpenShift's kinds.
package openshift

import (
	"flag"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var update = flag.Bool("update", false, "write the golden files from what the test sees")

var release = tools.ReleaseFlag()

var servers stack.Stack

func TestMain(m *testing.M) {
	flag.Parse()
	servers.Main(m, append(tools.Core(), release.Tools()...)...)
}

func plugins() []string {
	return []string{stack.BuiltPlugin("../../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../../..", "velero-plugins")}
}
