// Package velero reads the Backup and Restore that a call of an item action
// belongs to: the namespaces that it covers, the namespace that an item is
// restored to, and the labels and annotations of Velero itself.
package velero
