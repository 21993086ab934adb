package conformance

import (
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// provider is a cloud whose plugin is checked. In testdata, NAME.yaml is the
// configuration of plugincheck for the plugin, and NAME-baseline.yaml that for the
// plugin in test/bench/store/baseline/NAME.
type provider struct {
	name   string // the folder below plugins/
	binary string
	// newLocation makes a bucket and returns the values of the configurations.
	newLocation func(*testing.T) any
	// baselineFails are the rows that the baseline plugin fails.
	baselineFails []string
}

// providers has a row for each provider.
var providers = []provider{
	{
		name: "aws", binary: "velero-plugin-for-aws", newLocation: newS3Location,
		baselineFails: []string{
			"start.log-level",     // ends at an unknown level
			"start.read-only",     // needs a socket file
			"start.long-tmpdir",   // the same
			"end.sigterm",         // leaves its socket
			"store.large-message", // takes 4 MiB
			"store.init-leak",     // keeps the connections of each Init
			"store.bad-config",    // takes unknown keys
			"fault.put-refused",   // answers before the upload has ended
			"fault.get-stalled",   // waits for ever
			"end.host-killed",     // does not notice
			"end.connection-lost", // the same
		},
	},
}

// s3Location is how to reach a bucket of MinIO.
type s3Location struct{ Region, Endpoint, Bucket, Credentials string }

func newS3Location(t *testing.T) any {
	minio := servers.MinIO(t)
	return s3Location{stack.Region, minio.Endpoint, minio.NewBucket(t), credentialsFile(t, minio.AccessKey, minio.SecretKey)}
}
