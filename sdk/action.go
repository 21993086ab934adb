package sdk

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ResourceIdentifier names one object in the cluster.
type ResourceIdentifier struct {
	Group     string // "" for the core group
	Resource  string // plural, lower case, such as persistentvolumeclaims
	Namespace string // "" for cluster-scoped objects
	Name      string
}

// Applier says which items an action applies to.
type Applier interface {
	// AppliesTo is called once per backup, restore or deletion. An error fails
	// the whole of it.
	AppliesTo(ctx context.Context, in AppliesToInput) (Selector, error)
}

// AppliesToInput is what Applier.AppliesTo works on. It has no fields today.
type AppliesToInput struct{}

// Selector says which items an action wants to see. Empty lists mean
// everything. Resources may be short or plural names or plural.group, such as
// pvc, persistentvolumeclaims or deployments.apps. Lists accept globs such as
// shop-*, and what is excluded wins over what is included.
//
// A restore tests the namespace that an item is restored to. Since Velero 1.18
// it restores namespaces before any action runs, so a RestoreItemAction never
// sees an item of the resource namespaces.
type Selector struct {
	IncludedNamespaces []string
	ExcludedNamespaces []string
	IncludedResources  []string
	ExcludedResources  []string
	LabelSelector      string // such as app=shop,tier!=cache
}

// BackupItemAction sees each matching item before it is written to a backup and
// may edit it in place. It is called concurrently.
//
// When the operations of an action have ended, Velero calls Backup a second time
// with each item that the action has named in PostOperationItems; the Backup
// then says Finalizing. The action must not begin an operation in that call:
// Velero treats one as an error.
type BackupItemAction interface {
	Applier
	// Backup returns what is to be backed up beside the item. An error keeps the
	// item out of the backup, which becomes PartiallyFailed.
	Backup(ctx context.Context, in BackupInput) (BackupResult, error)
}

// BackupInput is what a BackupItemAction works on.
type BackupInput struct {
	Item   *unstructured.Unstructured // edited in place
	Backup Backup
}

// BackupResult is the answer of a BackupItemAction. The zero value says that
// there is nothing to add.
type BackupResult struct {
	// AdditionalItems are added to the backup before Velero goes on with the
	// next item. One that does not exist is a warning.
	AdditionalItems []ResourceIdentifier
	// OperationID names an operation that goes on after Backup has returned; the
	// action must implement BackupOperations. It is "" for none.
	OperationID string
	// PostOperationItems are backed up again when the operation has ended. They
	// need an OperationID.
	PostOperationItems []ResourceIdentifier
}

// BackupOperations is an optional ability of a BackupItemAction: operations
// that go on after Backup has returned, such as the upload of a snapshot. Let
// the compiler check that a type has the whole of it:
//
//	var _ sdk.BackupOperations = (*export)(nil)
//
// Velero asks for the progress of an operation from new processes, so what is
// known of it must be kept outside of the process.
type BackupOperations interface {
	BackupItemAction
	// BackupProgress reports on an operation. Velero takes an error for the
	// failure of the operation and never asks again: report a problem that may
	// pass as an operation that is not completed.
	BackupProgress(ctx context.Context, in BackupOperation) (Progress, error)
	// CancelBackup ends an operation that took longer than the backup allows.
	// Velero ends the process soon afterwards, so the work must be done when the
	// method returns.
	CancelBackup(ctx context.Context, in BackupOperation) (CancelResult, error)
}

// BackupOperation names an operation of a BackupItemAction.
type BackupOperation struct {
	ID     string // as Backup returned it
	Backup Backup
}

// CancelResult is the empty answer of CancelBackup and CancelRestore.
type CancelResult struct{}

// RestoreItemAction sees each matching item before it is created in the cluster
// and may edit it in place. It is called concurrently.
type RestoreItemAction interface {
	Applier
	// Restore returns what is to be done with the item. An error keeps the item
	// from being restored.
	Restore(ctx context.Context, in RestoreInput) (RestoreResult, error)
}

// RestoreInput is what a RestoreItemAction works on.
type RestoreInput struct {
	// Item is edited in place. Velero has removed its status and what earlier
	// actions have changed shows; its namespace is still the one that it was
	// backed up from, see [Restore.TargetNamespace].
	Item *unstructured.Unstructured
	// FromBackup is the item as it was backed up.
	FromBackup *Document
	Restore    Restore
}

// RestoreResult is the answer of a RestoreItemAction. The zero value says that
// the item is to be restored as edited.
type RestoreResult struct {
	Skip            bool                 // do not restore the item
	AdditionalItems []ResourceIdentifier // restored before the item
	// OperationID names an operation that goes on after Restore has returned; the
	// action must implement RestoreOperations. It is "" for none.
	OperationID string

	// WaitForAdditionalItems lets Velero wait until those AdditionalItems that
	// exist are ready (see ItemsReadiness), or until AdditionalItemsTimeout has
	// passed; 0 stands for Velero's --resource-timeout.
	WaitForAdditionalItems bool
	AdditionalItemsTimeout time.Duration
}

// RestoreOperations is an optional ability of a RestoreItemAction, with the
// rules of BackupOperations.
type RestoreOperations interface {
	RestoreItemAction
	// RestoreProgress reports on an operation.
	RestoreProgress(ctx context.Context, in RestoreOperation) (Progress, error)
	// CancelRestore ends an operation.
	CancelRestore(ctx context.Context, in RestoreOperation) (CancelResult, error)
}

// RestoreOperation names an operation of a RestoreItemAction.
type RestoreOperation struct {
	ID      string // as Restore returned it
	Restore Restore
}

// ItemsReadiness is an optional ability of a RestoreItemAction that waits for
// additional items.
type ItemsReadiness interface {
	RestoreItemAction
	// ItemsReady reports whether all of in.Items are ready. Velero asks at once
	// and then each second. An error ends the waiting, and the item is restored
	// all the same.
	ItemsReady(ctx context.Context, in ItemsReadyInput) (ItemsReadyResult, error)
}

// ItemsReadyInput is what ItemsReadiness.ItemsReady works on.
type ItemsReadyInput struct {
	Items   []ResourceIdentifier
	Restore Restore
}

// ItemsReadyResult is the answer of ItemsReadiness.ItemsReady.
type ItemsReadyResult struct{ Ready bool }

// Progress is the state of an operation.
type Progress struct {
	Completed   bool
	Err         string    // why the operation failed; with Completed, "" means that it succeeded
	Done, Total int64     // in Units
	Units       string    // such as bytes
	Description string    // such as uploading
	Started     time.Time // the zero time: not started
	Updated     time.Time
}

// DeleteItemAction sees each matching item of a backup that is being deleted.
type DeleteItemAction interface {
	Applier
	// Delete removes what belongs to the item outside of the backup. Velero up to
	// 1.18 logs an error and goes on; later versions keep the backup and try its
	// deletion again, so Delete must succeed when there is nothing left to remove.
	Delete(ctx context.Context, in DeleteInput) (DeleteResult, error)
}

// DeleteInput is what a DeleteItemAction works on.
type DeleteInput struct {
	Item   *unstructured.Unstructured
	Backup Backup
}

// DeleteResult is the empty answer of a DeleteItemAction.
type DeleteResult struct{}

// ItemBlockAction names the items that must be backed up together with an item.
type ItemBlockAction interface {
	Applier
	// RelatedItems must not change the item. An error is logged and counts as an
	// error of the backup.
	RelatedItems(ctx context.Context, in RelatedItemsInput) (RelatedItemsResult, error)
}

// RelatedItemsInput is what an ItemBlockAction works on.
type RelatedItemsInput struct {
	Item   *unstructured.Unstructured
	Backup Backup
}

// RelatedItemsResult is the answer of an ItemBlockAction.
type RelatedItemsResult struct{ Items []ResourceIdentifier }
