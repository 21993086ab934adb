package azurefake

import (
	"os"
	"strings"
	"testing"
)

// ClearEnvironment takes everything that Azure's SDKs and our plugins read out of the
// environment of a test: variables such as AZURE_CLIENT_ID, OADP_AZURE_VSL_TAGS and
// IDENTITY_ENDPOINT.
func ClearEnvironment(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"AZURE_", "OADP_AZURE_", "IDENTITY_", "MSI_"} {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			value := os.Getenv(name)
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) }) // t.Setenv forbids parallel tests
		}
	}
}
