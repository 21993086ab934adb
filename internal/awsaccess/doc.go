// Package awsaccess authenticates to AWS and to services that speak its protocols.
// It decides which source of credentials counts for a location, keeps credentials
// fresh, configures the clients of the SDK on package endpoint, and explains why
// credentials were refused. The object store and the volume snapshotter share it.
package awsaccess
