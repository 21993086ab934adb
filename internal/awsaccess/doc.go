// Package awsaccess is the way to services of AWS and to those that speak their
// protocols: credentials and where they come from, certificates and proxies,
// time limits and attempts, and errors that say what to do. The object store and
// the volume snapshotter share it.
package awsaccess
