// Package registry is the client of one container registry, which images are
// read from and written to.
//
// It leaves the handshake, tokens and the registry's error documents to
// go-containerregistry. The requests are its own: that library's reader stops
// where a connection breaks, and its writer sends a body that it has consumed
// after a token has expired, leaves foreign layers out without a word, and adds
// tags of its own for manifests that have a subject.
package registry
