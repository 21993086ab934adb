package main

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// task is what a Backup and a Restore have in common.
type task struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels, Annotations  map[string]string
	}
}

// key returns the key under which what was looked up for the task is kept.
func (t *task) key(parts ...string) string {
	return strings.Join(append([]string{t.Metadata.UID, t.Metadata.Name}, parts...), "/")
}

// migration reports whether the migration toolkit runs the task. Everything
// else is backup and restore by OADP or by hand.
func (t *task) migration() bool { return t.Metadata.Labels[partOfLabel] == partOfMigration }

func backupOf(b *sdk.Backup) (*task, error) {
	t, err := sdk.Decode[task](b.Document)
	if err != nil {
		return nil, fmt.Errorf("the Backup that Velero sent: %w", err)
	}
	return t, nil
}

// storedBackup is a Backup with the location that it is stored at.
type storedBackup struct {
	task
	Spec struct {
		StorageLocation  string
		LabelSelector    fields
		OrLabelSelectors []fields
	}
}

// selects reports whether labels decide what is in the backup.
func (b *storedBackup) selects() bool {
	return len(b.Spec.LabelSelector) > 0 || len(b.Spec.OrLabelSelectors) > 0
}

func storedBackupOf(b *sdk.Backup) (*storedBackup, error) {
	t, err := sdk.Decode[storedBackup](b.Document)
	if err != nil {
		return nil, fmt.Errorf("the Backup that Velero sent: %w", err)
	}
	return t, nil
}

// storage names the backup's location.
func (b *storedBackup) storage() registrysecret.Request {
	return registrysecret.Request{Namespace: veleroNamespace(&b.task), Location: b.Spec.StorageLocation, Backup: b.Metadata.Name}
}

// restore is the Restore that an action works for.
type restore struct {
	task
	Spec struct {
		BackupName             string
		NamespaceMapping       map[string]string
		ExistingResourcePolicy string
		Hooks                  struct{ Resources []hookResource }
	}
}

func restoreOf(r *sdk.Restore) (*restore, error) {
	t, err := sdk.Decode[restore](r.Document)
	if err != nil {
		return nil, fmt.Errorf("the Restore that Velero sent: %w", err)
	}
	return t, nil
}

// target returns the namespace that the objects of a namespace are restored to.
func (r *restore) target(namespace string) string {
	if mapped := r.Spec.NamespaceMapping[namespace]; mapped != "" {
		return mapped
	}
	return namespace
}

// accountNamespace is the place of the namespace in the names of service
// account users: system:serviceaccount:NAMESPACE:NAME.
const accountNamespace = 2

// targetUser returns the name that a user has after the restore: those of
// service accounts contain their namespace.
func (r *restore) targetUser(user string) string {
	parts := strings.Split(user, ":")
	if len(parts) < accountNamespace+1 || len(parts) > accountNamespace+2 || parts[1] != "serviceaccount" {
		return user
	}
	parts[accountNamespace] = r.target(parts[accountNamespace])
	return strings.Join(parts, ":")
}

// targetGroup returns the name that a group has after the restore: that of the
// service accounts of a namespace contains it.
func (r *restore) targetGroup(group string) string {
	parts := strings.Split(group, ":")
	if len(parts) != accountNamespace+1 || parts[1] != "serviceaccounts" {
		return group
	}
	parts[accountNamespace] = r.target(parts[accountNamespace])
	return strings.Join(parts, ":")
}

func (r *restore) labelValue() string { return labelValue(r.Metadata.Name) }

// labelValue returns the name of a backup or restore as the value of a label,
// which holds 63 characters.
func labelValue(name string) string {
	const longest, kept = 63, 57
	if len(name) <= longest {
		return name
	}
	return name[:kept] + fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:longest-kept]
}

// backedUp returns the item as it was backed up, or as it is now when that
// cannot be read. Velero takes the owners and the status off the latter.
func backedUp(in sdk.RestoreInput) *unstructured.Unstructured {
	if in.FromBackup != nil {
		if object, err := in.FromBackup.Object(); err == nil {
			return object
		}
	}
	return in.Item
}
