package awsfake

import (
	"os"
	"strings"
	"testing"
)

// ClearEnvironment takes everything that AWS SDKs and our plugins read out of the environment of a test: variables such
// as AWS_PROFILE and OADP_AWS_VSL_EC2_URL, the home directory, and the metadata service of the machine.
func ClearEnvironment(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "OADP_AWS_") {
			t.Setenv(name, "") // restores it at the end
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
