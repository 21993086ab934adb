// Package security attacks the built plugins as a user without rights over the
// cluster can: with the secret, the configuration and the bucket of a location of
// the own, and with the objects of the own namespace. The real Velero server runs
// the plugins with the rights of a cluster administrator. Recorders in front of
// the API server, the store and the registry say after each attack that nothing
// outside of the attacker's namespace and bucket was read or written.
//
// Each row of the table in SECURITY.md names tests of this package.
package security

import (
	"context"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, append(tools.Core(), tools.Registry)...) }

// testTimeout bounds a whole test: a plugin that hangs must not stop the run.
const testTimeout = 3 * time.Minute

func newContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
