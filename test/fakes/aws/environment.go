package awsfake

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// ClearEnvironment takes everything that AWS SDKs and our plugins read out of the
// environment of a test: variables such as AWS_PROFILE and OADP_AWS_VSL_EC2_URL, the home
// directory, and the metadata service of the machine.
func ClearEnvironment(t testing.TB) {
	t.Helper()
	fakecloud.ClearEnvironment(t, "AWS_", "OADP_AWS_")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
