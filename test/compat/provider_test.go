package compat

import (
	"log/slog"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/buckettest"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// provider is a cloud whose protocol several servers speak. Each provider has a
// file of its own, such as aws_test.go.
type provider struct {
	name     string // the folder below plugins/
	guide    string // has the matrix of the servers
	newStore func(*slog.Logger) sdk.ObjectStore
	partSize int        // of uploads with the default configuration, in bytes
	absent   fault.Code // of the error for an object that is not there
	servers  []server
	// given returns the server that the environment names in place of those.
	given func() (server, bool)
	// checks are those of the provider alone. They come after the common ones.
	checks []check
}

// providers has a row for each provider.
var providers = []provider{awsProvider}

// server is a column of the matrix.
type server struct {
	name   string
	module string // that pins its version
	// start starts the server, or returns the one that runs already.
	start  func(testing.TB) endpoint
	limits map[string]limit // by the name of the check
}

// limit is what a server is known not to do.
type limit struct {
	error  string // that the check gives
	reason string // for the administrator
}

// endpoint is how a server is reached.
type endpoint interface {
	// newBucket makes an empty bucket. A proxy stands between it and the store,
	// which refuses what any server of the protocol refuses.
	newBucket(t *testing.T) (bucket, error)
}

// bucket is an empty bucket of a server.
type bucket struct {
	name string
	// config is the configuration of a location in the bucket.
	config map[string]string
	// client shares no code with the store.
	client buckettest.Independent
	// network is what stands between the store and the server.
	network network
	// of is what the checks of one provider need besides.
	of any
}

// network breaks what passes between a store and a server.
type network interface {
	// breakDownloads resets the connections of the next downloads after so many
	// bytes of their content.
	breakDownloads(times int, after int64)
	// downloads counts the requests for the content of objects.
	downloads() int
	// uploadedParts counts the requests with a part of an upload.
	uploadedParts() int
}

// all returns the checks of a provider: the rows of its matrix.
func (p provider) all() []check { return append(commonChecks(), p.checks...) }
