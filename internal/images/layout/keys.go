package layout

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The tree begins at the bucket's root, whatever the prefix of a location is, so
// all locations of a bucket share it. Registries know what is below treeRoot; the
// index beside it is ours.
const (
	blobsRoot        = "docker/registry/v2/blobs/"
	repositoriesRoot = "docker/registry/v2/repositories/"

	indexRoot     = "docker/registry/oadp/"
	entriesRoot   = indexRoot + "refs/v1/"
	marksRoot     = indexRoot + "made/v1/"
	pendingRoot   = indexRoot + "pending/v1/"
	sweepsRoot    = indexRoot + "sweeps/v1/"
	convertedRoot = indexRoot + "converted/v1/"
	damagedRoot   = indexRoot + "damaged/v1/"
	auditsRoot    = indexRoot + "audits/v1/"
)

// blobKey is where a layer, a configuration or a manifest is.
func blobKey(d digest.Digest) string {
	return blobsRoot + d.Algorithm().String() + "/" + d.Encoded()[:2] + "/" + d.Encoded() + "/data"
}

// ownFolders is the prefix of what belongs to a repository, without the
// repositories whose names begin with its own.
func ownFolders(repository string) string { return repositoriesRoot + repository + "/_" }

func layerLink(repository string, d digest.Digest) string {
	return ownFolders(repository) + "layers/" + folder(d) + "/link"
}

func revisionLink(repository string, d digest.Digest) string {
	return ownFolders(repository) + "manifests/revisions/" + folder(d) + "/link"
}

func tagFolder(repository, tag string) string {
	return ownFolders(repository) + "manifests/tags/" + tag + "/"
}

// tagHistoryLink names an image that a tag names or has named.
func tagHistoryLink(repository, tag string, d digest.Digest) string {
	return tagFolder(repository, tag) + "index/" + folder(d) + "/link"
}

// tagLink names the image that a tag names now.
func tagLink(repository, tag string) string {
	return tagFolder(repository, tag) + "current/link"
}

func folder(d digest.Digest) string { return d.Algorithm().String() + "/" + d.Encoded() }

func entryKey(image digest.Digest, owner string) string {
	return entriesRoot + image.String() + "/" + owner
}

func markKey(repository string, manifest digest.Digest) string {
	return marksRoot + manifest.String() + "/" + repository
}

// lastSweepKey is that of an object whose time tells when the last sweep began.
const lastSweepKey = auditsRoot + "last"

func pendingKey(image digest.Digest) string { return pendingRoot + image.String() }

var (
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$`)
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// repositoryName returns the name that a repository has in the tree. The
// registry that wrote the first trees took the namespace localhost for a host,
// so it is not part of the name.
func repositoryName(name string) (string, error) {
	name = strings.TrimPrefix(name, "localhost/")
	if !repositoryPattern.MatchString(name) {
		return "", fmt.Errorf("%q cannot be the name of a repository", name)
	}
	return name, nil
}
