// Package transfer moves objects between a byte stream and an object store, with
// several requests in flight and memory that does not depend on the size of the
// object.
//
// It knows no store: an upload is described by a [Target], a download by an
// [Open] function.
package transfer
