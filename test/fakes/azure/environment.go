package azurefake

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// ClearEnvironment takes everything that Azure's SDKs and our plugins read out of the
// environment of a test: variables such as AZURE_CLIENT_ID, OADP_AZURE_VSL_TAGS and
// IDENTITY_ENDPOINT.
func ClearEnvironment(t testing.TB) {
	t.Helper()
	fakecloud.ClearEnvironment(t, "AZURE_", "OADP_AZURE_", "IDENTITY_", "MSI_")
}
