package fakecloud

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// ClearEnvironment takes the variables with one of the prefixes, such as "AWS_", out of
// the environment until the test ends.
func ClearEnvironment(t testing.TB, prefixes ...string) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) }) // t.Setenv forbids parallel tests
		}
	}
}
