package compat

import (
	"strings"
	"testing"
)

func TestServers(t *testing.T) {
	rows := servers
	if other, ok := given(); ok {
		rows = []server{other}
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			at := row.start(t)
			for _, c := range checks() {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					err := c.run(newScene(t, at))
					limit, limited := row.limits[c.name]
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
