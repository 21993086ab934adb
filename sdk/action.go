package sdk

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ResourceIdentifier names one object in the cluster.
type ResourceIdentifier struct {
	Group     string // "" for the core group
	Resource  string // plural, lower case
	Namespace string // "" for cluster-scoped objects
	Name      string
}

// Selector says which items an action wants to see. Empty lists mean
// everything. Resources may be short or plural names or plural.group; lists
// accept globs and excludes win.
type Selector struct {
	IncludedNamespaces []string
	ExcludedNamespaces []string
	IncludedResources  []string
	ExcludedResources  []string
	LabelSelector      string
}

// Applier says which items an action applies to. It is asked once per backup or
// restore; an error fails the whole of it.
type Applier interface {
	AppliesTo(ctx context.Context) (Selector, error)
}

// BackupItemAction sees each matching item on its way into a backup and may
// edit it in place. It is called concurrently.
//
// An error keeps the item out of the backup, which becomes PartiallyFailed.
type BackupItemAction interface {
	Applier
	Backup(ctx context.Context, item *unstructured.Unstructured, backup *Backup) (BackupResult, error)
}

// BackupResult is what a BackupItemAction answers. The zero value says that
// there is nothing to add.
type BackupResult struct {
	AdditionalItems    []ResourceIdentifier // backed up at once
	OperationID        string               // names an operation that goes on; needs BackupOperations
	PostOperationItems []ResourceIdentifier // backed up again when the operation has ended
}

// BackupOperations is an optional ability of a BackupItemAction: operations
// that go on after Backup has returned. Velero asks for progress from new
// processes, so the operation's state lives outside of the process.
type BackupOperations interface {
	// BackupProgress reports on an operation. An error fails the operation for
	// good: report passing trouble as an operation that is not completed.
	BackupProgress(ctx context.Context, operationID string, backup *Backup) (Progress, error)
	// CancelBackup ends an operation. The process is killed soon afterwards:
	// finish before returning.
	CancelBackup(ctx context.Context, operationID string, backup *Backup) error
}

// RestoreItemAction sees each matching item on its way into the cluster and may
// edit it in place. It is called concurrently.
//
// An error keeps the item from being restored.
type RestoreItemAction interface {
	Applier
	Restore(ctx context.Context, in RestoreInput) (RestoreResult, error)
}

// RestoreInput is what a RestoreItemAction works on.
type RestoreInput struct {
	Item       *unstructured.Unstructured // edited in place; still in its source namespace
	FromBackup *Document                  // as it was backed up
	Restore    *Restore
}

// RestoreResult is what a RestoreItemAction answers. The zero value says that
// the item is to be restored as edited.
type RestoreResult struct {
	Skip            bool                 // do not restore the item
	AdditionalItems []ResourceIdentifier // restored before the item
	OperationID     string               // names an operation that goes on; needs RestoreOperations

	// WaitForAdditionalItems lets Velero wait until the AdditionalItems that
	// exist are ready (see ItemsReadiness) or the timeout ends; 0 is Velero's
	// resource timeout.
	WaitForAdditionalItems bool
	AdditionalItemsTimeout time.Duration
}

// RestoreOperations is an optional ability of a RestoreItemAction, with the
// rules of BackupOperations.
type RestoreOperations interface {
	RestoreProgress(ctx context.Context, operationID string, restore *Restore) (Progress, error)
	CancelRestore(ctx context.Context, operationID string, restore *Restore) error
}

// ItemsReadiness is an optional ability of a RestoreItemAction that waits for
// additional items. Velero asks at once and then each second.
type ItemsReadiness interface {
	ItemsReady(ctx context.Context, items []ResourceIdentifier, restore *Restore) (bool, error)
}

// Progress is the state of an operation.
type Progress struct {
	Completed   bool
	Err         string // why it failed; "" when completed means success
	Done, Total int64  // in Units
	Units       string
	Description string
	Started     time.Time // zero: not started
	Updated     time.Time
}

// DeleteItemAction sees each matching item of a backup that is being deleted.
// Errors are logged and the deletion goes on.
type DeleteItemAction interface {
	Applier
	Delete(ctx context.Context, item *unstructured.Unstructured, backup *Backup) error
}

// ItemBlockAction names the items that must be backed up together with an item.
// It must not change the item.
type ItemBlockAction interface {
	Applier
	RelatedItems(ctx context.Context, item *unstructured.Unstructured, backup *Backup) ([]ResourceIdentifier, error)
}
