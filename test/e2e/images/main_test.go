// Package images backs up image streams with their images, with the real Velero
// server and the built plugins, loses them and restores them: from the internal
// registry of one cluster into the bucket, and from there into the registry of
// the same or of another cluster.
package images

import (
	"context"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var release = tools.ReleaseFlag()

var servers stack.Stack

func TestMain(m *testing.M) {
	flag.Parse()
	servers.Main(m, slices.Concat(tools.Core(), []tools.Tool{tools.Registry}, release.Tools())...)
}

// testTimeout bounds a whole test: a plugin that hangs must not stop the run.
const testTimeout = 3 * time.Minute

func newContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*rounds)*testTimeout)
	t.Cleanup(cancel)
	return ctx
}
