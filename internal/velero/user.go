package velero

import "cmp"

// OADP makes Backups and Restores for users without rights over the cluster, and
// notes the only namespace that such a user may back up and restore:
//
//	openshift.io/oadp-nab-origin-namespace: shop
//	openshift.io/oadp-nar-origin-namespace: shop
const (
	backupOriginKey  = "openshift.io/oadp-nab-origin-namespace"
	restoreOriginKey = "openshift.io/oadp-nar-origin-namespace"
)

// publicNamespace is the namespace of OpenShift whose images every user may pull.
const publicNamespace = "openshift"

// OriginNamespace returns the namespace of the user for whom OADP has made the
// Backup or Restore, or "" for an administrator's.
func (t *Task) OriginNamespace() string {
	return cmp.Or(t.Metadata.Annotations[backupOriginKey], t.Metadata.Annotations[restoreOriginKey])
}

// MayPull reports whether images of a namespace may be read for this Backup or
// Restore. Plugins read with the rights of Velero, so that without this check the
// text of a user in an image stream would open the images of every namespace.
func (t *Task) MayPull(namespace string) bool {
	origin := t.OriginNamespace()
	return origin == "" || namespace == origin || namespace == publicNamespace
}
