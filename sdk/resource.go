package sdk

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// resource is what a Backup and a Restore have in common.
type resource struct{ from *Document }

// summary is what the accessors of Backup and Restore tell.
type summary struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels, Annotations  map[string]string
	}
	Spec struct {
		StorageLocation  string
		BackupName       string
		NamespaceMapping map[string]string
	}
	Status struct{ Phase string }
}

var emptySummary summary

// summary returns what the resource says. The SDK has checked that it can be
// decoded before it calls an action.
func (r resource) summary() *summary {
	s, err := Decode[summary](r)
	if err != nil {
		return &emptySummary
	}
	return s
}

// check returns an error unless the accessors can tell what the resource says.
func (r resource) check(kind string) error {
	if _, err := Decode[summary](r); err != nil {
		return fmt.Errorf("the %s that Velero sent with the item cannot be read: %w", kind, err)
	}
	return nil
}

func (r resource) document() *Document { return r.from }

// Name returns metadata.name.
func (r resource) Name() string { return r.summary().Metadata.Name }

// UID returns metadata.uid, which no two backups or restores share.
func (r resource) UID() string { return r.summary().Metadata.UID }

// Namespace returns metadata.namespace: that of Velero, not of any item.
func (r resource) Namespace() string { return r.summary().Metadata.Namespace }

// Labels returns metadata.labels, which must not be changed.
func (r resource) Labels() map[string]string { return r.summary().Metadata.Labels }

// Annotations returns metadata.annotations, which must not be changed.
func (r resource) Annotations() map[string]string { return r.summary().Metadata.Annotations }

// JSON returns the resource as Velero sent it. Some servers leave out its kind
// and apiVersion.
func (r resource) JSON() []byte { return r.from.JSON() }

// Object returns the decoded resource, which must not be changed. Decode returns
// it as a type of one's own.
func (r resource) Object() (*unstructured.Unstructured, error) { return r.from.Object() }

// Backup is the Backup that a call belongs to. It is decoded once for all items
// of the backup. Its zero value is empty.
type Backup struct{ resource }

// NewBackup returns the Backup of that JSON.
func NewBackup(json []byte) Backup { return Backup{resource{NewDocument(json)}} }

// StorageLocation returns spec.storageLocation: the name of the
// BackupStorageLocation that the backup is stored at.
func (b Backup) StorageLocation() string { return b.summary().Spec.StorageLocation }

// Finalizing reports whether the operations of the backup have ended and Velero
// backs up their PostOperationItems. An action must not begin an operation then.
func (b Backup) Finalizing() bool {
	switch b.summary().Status.Phase {
	case "Finalizing", "FinalizingPartiallyFailed":
		return true
	}
	return false
}

// Restore is the Restore that a call belongs to, with the rules of Backup.
type Restore struct{ resource }

// NewRestore returns the Restore of that JSON.
func NewRestore(json []byte) Restore { return Restore{resource{NewDocument(json)}} }

// BackupName returns spec.backupName: the backup that is restored.
func (r Restore) BackupName() string { return r.summary().Spec.BackupName }

// TargetNamespace returns the namespace that the objects of a namespace are
// restored to: that of spec.namespaceMapping, or else the same. That of
// cluster-scoped objects, "", stays "".
func (r Restore) TargetNamespace(namespace string) string {
	if mapped := r.summary().Spec.NamespaceMapping[namespace]; mapped != "" && namespace != "" {
		return mapped
	}
	return namespace
}
