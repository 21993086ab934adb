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

// olderReleases are those whose servers users of OADP run besides the newest.
var olderReleases = []tools.VeleroRelease{"1.14", "1.16"}

var servers stack.Stack

func TestMain(m *testing.M) {
	flag.Parse()
	needs := append(tools.Core(), release.Tools()...)
	for _, older := range olderReleases {
		needs = append(needs, older.Tool())
	}
	servers.Main(m, needs...)
}

func plugins() []string {
	return []string{stack.BuiltPlugin("../../..", "velero-plugin-for-aws"), stack.BuiltPlugin("../../..", "velero-plugins")}
}
