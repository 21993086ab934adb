// Package azureaccess is the way to services of Azure: identities and where they
// come from, the clouds, Azure Resource Manager, attempts, and errors that say
// what to do. The object store and the volume snapshotter share it.
package azureaccess
