package main

import (
	"context"
	"fmt"
	"strings"
)

// provider is a cloud whose plugin is measured. Each has a server of its protocol
// in the test stack and a baseline plugin below baseline/.
type provider struct {
	name   string // the folder below baseline/
	binary string // of our plugin
	store  string // as Velero knows the object store: velero.io/aws
	// server is the name of the server in the test stack and in the tables.
	server string
	// start starts the server with its data in a folder below dir.
	start func(ctx context.Context, binary, dir string, secure bool) (server, error)
	// writeCredentials writes the credentials file of a location.
	writeCredentials func(dir string) (file string, err error)
}

// server is a running server with the bucket that is measured.
type server interface {
	// address is the host and port that a slow link can be put in front of.
	address() string
	// location is the configuration that Velero hands to the plugin for a backup
	// storage location whose server is reached at an address.
	location(address, credentialsFile string) map[string]string
	// seed stores an object of each size under readKey, cut as the uploader of the
	// baseline cuts it, and the keys that are listed.
	seed(ctx context.Context, body content, sizes []int64, keys int) error
	stop()
}

// providers has a row for each provider.
var providers = []provider{
	{"aws", "velero-plugin-for-aws", "velero.io/aws", "MinIO", startMinIO, writeAWSCredentials},
}

// What the bucket of each provider has.
const (
	bucketName = "bench"
	listPrefix = "list/"
	smallSize  = 1 << 10
)

func readKey(size int64) string { return "read/" + strings.ReplaceAll(formatSize(size), " ", "") }

func findProvider(name string) (provider, error) {
	var names []string
	for _, p := range providers {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return provider{}, fmt.Errorf("--provider %s: there are %s", name, strings.Join(names, ", "))
}
