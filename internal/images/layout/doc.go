// Package layout keeps container images in a bucket, as a registry with storage
// in that bucket would, so that such a registry can serve them.
package layout
