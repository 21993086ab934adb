package main

import (
	"path"
	"slices"
	"strings"
)

// cloud names the packages that know one cloud. Each has a role: packages of
// equal role are siblings, and have the same files for the same things.
type cloud struct {
	name        string
	access      string // identities and clients
	store       string // the object store
	snapshotter string // the volume snapshotter
}

// clouds has a row for each cloud, the ones whose packages are still to be
// written included. Whoever adds a cloud adds a row.
var clouds = []cloud{
	{"aws", "internal/awsaccess", "internal/objectstore/s3", "internal/snapshots/ebs"},
	{"azure", "internal/azureaccess", "internal/objectstore/azblob", "internal/snapshots/azuredisk"},
	{"gcp", "internal/gcpaccess", "internal/objectstore/gcs", "internal/snapshots/gcedisk"},
}

// The layers below the plugins, from the lowest to the highest. A package
// imports packages of lower layers and, but for the clouds' own ones, of its own.
const (
	layerOther       = iota // packages that the rules for providers do not speak of
	layerEndpoint           // internal/endpoint: how any service is reached
	layerAccess             // internal/<cloud>access
	layerContract           // internal/objectstore and internal/snapshots, which know no cloud
	layerStore              // internal/objectstore/<store>
	layerSnapshotter        // internal/snapshots/<snapshotter>
	layerOpen               // internal/objectstore/open: picks the store of a location
)

// layer returns the layer of a package of ours and, for a package that knows one
// cloud, the cloud's name.
func layer(own string) (int, string) {
	for _, c := range clouds {
		switch {
		case within(own, c.access):
			return layerAccess, c.name
		case within(own, c.store):
			return layerStore, c.name
		case within(own, c.snapshotter):
			return layerSnapshotter, c.name
		case within(own, "plugins/"+c.name):
			return layerOther, c.name
		}
	}
	switch {
	case own == "internal/objectstore" || own == "internal/snapshots":
		return layerContract, ""
	case within(own, "internal/objectstore/open"):
		return layerOpen, ""
	case within(own, "internal/endpoint"):
		return layerEndpoint, ""
	}
	return layerOther, ""
}

// within reports whether a package is in a folder: internal/endpoint/trust is in
// internal/endpoint, and internal/endpoints is not.
func within(own, folder string) bool {
	return own == folder || strings.HasPrefix(own, folder+"/")
}

// betweenProviders returns the rule that keeps a package from importing one that
// knows a cloud, or "". Tests of a contract may import its providers.
func betweenProviders(from, to string, test bool) string {
	fromLayer, fromCloud := layer(from)
	toLayer, toCloud := layer(to)
	switch {
	case fromCloud != "" && toCloud != "" && fromCloud != toCloud:
		return "what knows one cloud does not import what knows another"
	case test:
		return ""
	case fromLayer == layerContract && toCloud != "":
		return "a contract does not import its providers"
	case fromLayer == layerEndpoint && toLayer > layerEndpoint:
		return "internal/endpoint knows no cloud and no store"
	case fromLayer == layerAccess && toLayer > layerAccess:
		return "identities and clients of a cloud know neither stores nor snapshotters"
	case fromLayer == layerStore && toLayer == layerSnapshotter, fromLayer == layerSnapshotter && toLayer == layerStore:
		return "stores and snapshotters share what is in the cloud's access package, and do not import each other"
	case (fromLayer == layerStore || fromLayer == layerSnapshotter) && toLayer == layerOpen:
		return "internal/objectstore/open imports the stores, not the other way round"
	}
	return ""
}

// providersWithoutCloud returns the packages beside the known stores,
// snapshotters and access packages that are in no row of clouds, although their
// place says that they know a cloud.
func providersWithoutCloud(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		own := ownPath(p.ImportPath)
		dir, name := path.Dir(own), path.Base(own)
		looksLikeProvider := dir == "internal/snapshots" || dir == "internal" && strings.HasSuffix(name, "access")
		if _, known := layer(own); known == "" && looksLikeProvider {
			found = append(found, p.ImportPath+" knows a cloud, and has no row in clouds in internal/lint/providers.go")
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
