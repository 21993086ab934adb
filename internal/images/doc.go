// Package images copies container images byte for byte: from a registry into a
// bucket and back, or from one registry into another.
//
// An image is a manifest with the blobs that it names, or an index of several
// such manifests. All of them are found by their digests, so that what the
// target has already is not sent again.
package images
