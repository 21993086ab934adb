package velero

import (
	"fmt"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// Task is what a Backup and a Restore have in common.
type Task struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels, Annotations  map[string]string
	}
}

// Key returns a cache key for what was looked up for the task:
// UID/NAME/PART/PART.
func (t *Task) Key(parts ...string) string {
	return strings.Join(append([]string{t.Metadata.UID, t.Metadata.Name}, parts...), "/")
}

// Backup is the Backup that an action works for.
type Backup struct {
	Task
	Spec struct {
		StorageLocation    string
		IncludedNamespaces []string
		ExcludedNamespaces []string
		LabelSelector      map[string]any
		OrLabelSelectors   []map[string]any
	}
}

// BackupOf reads the Backup that a call belongs to.
func BackupOf(b sdk.Backup) (*Backup, error) {
	t, err := sdk.Decode[Backup](b)
	if err != nil {
		return nil, fmt.Errorf("the Backup that Velero sent: %w", err)
	}
	return t, nil
}

// HasLabelSelector reports whether labels decide what is in the backup.
func (b *Backup) HasLabelSelector() bool {
	return len(b.Spec.LabelSelector) > 0 || len(b.Spec.OrLabelSelectors) > 0
}
