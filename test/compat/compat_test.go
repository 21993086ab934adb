// Package compat runs the object stores against servers of different origin,
// behind a proxy that refuses what any server refuses.
//
// To try another S3 server, run the package with OADP_STACK_NAMESPACE=off and
// OADP_S3_SERVER=URL, OADP_S3_ACCESS_KEY, OADP_S3_SECRET_KEY and, if it is not
// us-east-1, OADP_S3_REGION. It makes buckets whose names begin with compat-.
package compat

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var stores stack.Stack

func TestMain(m *testing.M) { stores.Main(m, tools.MinIO, tools.VersityGW, tools.Rclone) }

func TestServers(t *testing.T) {
	for _, p := range providers {
		servers := p.servers
		if other, ok := p.given(); ok {
			servers = []server{other}
		}
		for _, server := range servers {
			t.Run(p.name+"/"+server.name, func(t *testing.T) {
				at := server.start(t)
				for _, c := range p.all() {
					t.Run(c.name, func(t *testing.T) {
						t.Parallel()
						err := c.run(newScene(t, p, at))
						limit, limited := server.limits[c.name]
						switch {
						case !limited && err != nil:
							t.Error(err)
						case limited && err == nil:
							t.Errorf("the server can do it now; the matrix says: %s", limit.reason)
						case limited && !strings.Contains(err.Error(), limit.error):
							t.Errorf("%v, want %q", err, limit.error)
						}
					})
				}
			})
		}
	}
}
