package sdk

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Configured is an optional ability of an ObjectStore or VolumeSnapshotter: it
// tells which configuration keys it takes. `PLUGIN config` prints them. It is
// called on a value that has seen no Init.
type Configured interface {
	ConfigKeys() config.Keys
}

// Checked is an optional ability of an ObjectStore or VolumeSnapshotter: the
// steps between a configuration and a working connection. `PLUGIN check` runs
// them in order and stops at the first that fails; for an ObjectStore it then
// lists, puts, gets and deletes through the interface itself.
type Checked interface {
	// Checks is called on a value that has seen no Init. An error says that
	// in.Config itself is wrong.
	Checks(ctx context.Context, in ChecksInput) ([]Check, error)
}

// ChecksInput is what Checked.Checks works on.
type ChecksInput struct {
	Config map[string]string // what Init would get
}

// Check is one step on the way to a working connection.
type Check struct {
	Name string // DNS, TLS, credentials, region ...
	// Run returns what it found, in a few words and without any secret.
	Run func(ctx context.Context) (found string, err error)
}
