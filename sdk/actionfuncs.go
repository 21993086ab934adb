package sdk

import (
	"context"
	"errors"
)

// BackupFuncs is a BackupItemAction that is made of functions. Its method New
// has the form of a constructor:
//
//	p.BackupItemAction("example.io/stamp", sdk.BackupFuncs{
//		Selector: sdk.Selector{IncludedResources: []string{"pods"}},
//		Backup:   stamp,
//	}.New)
//
// With Progress and Cancel it is a BackupOperations. One without the other is an
// error of New.
type BackupFuncs struct {
	Selector Selector
	Backup   func(context.Context, BackupInput) (BackupResult, error)
	Progress func(context.Context, BackupOperation) (Progress, error)
	Cancel   func(context.Context, BackupOperation) (CancelResult, error)
}

// New returns the action.
func (f BackupFuncs) New(Host) (BackupItemAction, error) {
	if err := together("sdk.BackupFuncs", "Backup", f.Backup != nil, f.Progress != nil, f.Cancel != nil); err != nil {
		return nil, err
	}
	action := backupFuncs{selects(f.Selector), f.Backup}
	if f.Progress == nil {
		return action, nil
	}
	return backupFuncsWithOperations{action, f}, nil
}

// together returns an error unless the functions of an action make a whole.
func together(funcs, main string, hasMain, hasProgress, hasCancel bool) error {
	switch {
	case !hasMain:
		return errors.New(funcs + " has no function " + main)
	case hasProgress && !hasCancel:
		return errors.New(funcs + " has a function Progress but no function Cancel; an action with operations needs both")
	case hasCancel && !hasProgress:
		return errors.New(funcs + " has a function Cancel but no function Progress; an action with operations needs both")
	}
	return nil
}

// selects is the selector of an action that always has the same.
type selects Selector

func (s selects) AppliesTo(context.Context, AppliesToInput) (Selector, error) {
	return Selector(s), nil
}

type backupFuncs struct {
	selects
	backup func(context.Context, BackupInput) (BackupResult, error)
}

func (a backupFuncs) Backup(ctx context.Context, in BackupInput) (BackupResult, error) {
	return a.backup(ctx, in)
}

type backupFuncsWithOperations struct {
	backupFuncs
	f BackupFuncs
}

func (a backupFuncsWithOperations) BackupProgress(ctx context.Context, in BackupOperation) (Progress, error) {
	return a.f.Progress(ctx, in)
}

func (a backupFuncsWithOperations) CancelBackup(ctx context.Context, in BackupOperation) (CancelResult, error) {
	return a.f.Cancel(ctx, in)
}

// RestoreFuncs is a RestoreItemAction that is made of functions, in the way of
// BackupFuncs. With Progress and Cancel it is a RestoreOperations, with
// ItemsReady an ItemsReadiness.
type RestoreFuncs struct {
	Selector   Selector
	Restore    func(context.Context, RestoreInput) (RestoreResult, error)
	Progress   func(context.Context, RestoreOperation) (Progress, error)
	Cancel     func(context.Context, RestoreOperation) (CancelResult, error)
	ItemsReady func(context.Context, ItemsReadyInput) (ItemsReadyResult, error)
}

// New returns the action.
func (f RestoreFuncs) New(Host) (RestoreItemAction, error) {
	if err := together("sdk.RestoreFuncs", "Restore", f.Restore != nil, f.Progress != nil, f.Cancel != nil); err != nil {
		return nil, err
	}
	action := restoreFuncs{selects(f.Selector), f.Restore}
	operations, readiness := restoreOperationFuncs{f}, restoreReadyFunc{f}
	switch {
	case f.Progress != nil && f.ItemsReady != nil:
		return struct {
			restoreFuncs
			restoreOperationFuncs
			restoreReadyFunc
		}{action, operations, readiness}, nil
	case f.Progress != nil:
		return struct {
			restoreFuncs
			restoreOperationFuncs
		}{action, operations}, nil
	case f.ItemsReady != nil:
		return struct {
			restoreFuncs
			restoreReadyFunc
		}{action, readiness}, nil
	}
	return action, nil
}

type restoreFuncs struct {
	selects
	restore func(context.Context, RestoreInput) (RestoreResult, error)
}

func (a restoreFuncs) Restore(ctx context.Context, in RestoreInput) (RestoreResult, error) {
	return a.restore(ctx, in)
}

type restoreOperationFuncs struct{ f RestoreFuncs }

func (a restoreOperationFuncs) RestoreProgress(ctx context.Context, in RestoreOperation) (Progress, error) {
	return a.f.Progress(ctx, in)
}

func (a restoreOperationFuncs) CancelRestore(ctx context.Context, in RestoreOperation) (CancelResult, error) {
	return a.f.Cancel(ctx, in)
}

type restoreReadyFunc struct{ f RestoreFuncs }

func (a restoreReadyFunc) ItemsReady(ctx context.Context, in ItemsReadyInput) (ItemsReadyResult, error) {
	return a.f.ItemsReady(ctx, in)
}

// DeleteFuncs is a DeleteItemAction that is made of a function, in the way of
// BackupFuncs.
type DeleteFuncs struct {
	Selector Selector
	Delete   func(context.Context, DeleteInput) (DeleteResult, error)
}

// New returns the action.
func (f DeleteFuncs) New(Host) (DeleteItemAction, error) {
	if f.Delete == nil {
		return nil, errors.New("sdk.DeleteFuncs has no function Delete")
	}
	return deleteFuncs{selects(f.Selector), f.Delete}, nil
}

type deleteFuncs struct {
	selects
	delete func(context.Context, DeleteInput) (DeleteResult, error)
}

func (a deleteFuncs) Delete(ctx context.Context, in DeleteInput) (DeleteResult, error) {
	return a.delete(ctx, in)
}

// ItemBlockFuncs is an ItemBlockAction that is made of a function, in the way of
// BackupFuncs.
type ItemBlockFuncs struct {
	Selector     Selector
	RelatedItems func(context.Context, RelatedItemsInput) (RelatedItemsResult, error)
}

// New returns the action.
func (f ItemBlockFuncs) New(Host) (ItemBlockAction, error) {
	if f.RelatedItems == nil {
		return nil, errors.New("sdk.ItemBlockFuncs has no function RelatedItems")
	}
	return itemBlockFuncs{selects(f.Selector), f.RelatedItems}, nil
}

type itemBlockFuncs struct {
	selects
	relatedItems func(context.Context, RelatedItemsInput) (RelatedItemsResult, error)
}

func (a itemBlockFuncs) RelatedItems(ctx context.Context, in RelatedItemsInput) (RelatedItemsResult, error) {
	return a.relatedItems(ctx, in)
}
