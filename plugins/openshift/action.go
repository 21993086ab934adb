package main

import (
	"context"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// An action is one row of the table: a name without its prefix, and an
// implementation of one of the SDK's interfaces.
type action struct {
	name           string
	implementation sdk.Applier
}

// The forms of an action, from a function and the resources that it is for. An
// error of theirs names the item.

type (
	backupFunc  func(context.Context, *unstructured.Unstructured, sdk.Backup) (sdk.BackupResult, error)
	relatedFunc func(context.Context, *unstructured.Unstructured, sdk.Backup) ([]sdk.ResourceIdentifier, error)
	restoreFunc func(context.Context, sdk.RestoreInput) (sdk.RestoreResult, error)
	readyFunc   func(context.Context, []sdk.ResourceIdentifier, sdk.Restore) (bool, error)
	deleteFunc  func(context.Context, *unstructured.Unstructured, sdk.Backup) error
)

type on []string

func (o on) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: o}, nil
}

type backupAction struct {
	on
	do backupFunc
}

func backup(name string, do backupFunc, resources ...string) action {
	return action{name, backupAction{resources, do}}
}

func (b backupAction) Backup(ctx context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	result, err := b.do(ctx, in.Item, in.Backup)
	return result, about(in.Item, err)
}

// backupOperation is a backup of an item that goes on after the item is in the
// backup.
type backupOperation interface {
	begin(context.Context, *unstructured.Unstructured, sdk.Backup) (sdk.BackupResult, error)
	BackupProgress(context.Context, sdk.BackupOperation) (sdk.Progress, error)
	CancelBackup(context.Context, sdk.BackupOperation) (sdk.CancelResult, error)
}

type operatingBackupAction struct {
	backupAction
	backupOperation
}

func operatingBackup(name string, o backupOperation, resources ...string) action {
	return action{name, operatingBackupAction{backupAction{resources, o.begin}, o}}
}

type deleteAction struct {
	on
	do deleteFunc
}

func deletes(name string, do deleteFunc, resources ...string) action {
	return action{name, deleteAction{resources, do}}
}

func (d deleteAction) Delete(ctx context.Context, in sdk.DeleteInput) (sdk.DeleteResult, error) {
	return sdk.DeleteResult{}, about(in.Item, d.do(ctx, in.Item, in.Backup))
}

type relatedAction struct {
	on
	do relatedFunc
}

func related(name string, do relatedFunc, resources ...string) action {
	return action{name, relatedAction{resources, do}}
}

func (r relatedAction) RelatedItems(ctx context.Context, in sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	items, err := r.do(ctx, in.Item, in.Backup)
	return sdk.RelatedItemsResult{Items: items}, about(in.Item, err)
}

type restoreAction struct {
	on
	do restoreFunc
}

func restores(name string, do restoreFunc, resources ...string) action {
	return action{name, restoreAction{resources, do}}
}

// Restore runs the action, unless the item claims to be in a namespace that the
// Restore does not cover.
func (r restoreAction) Restore(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	owner, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, about(in.Item, err)
	}
	if err := owner.CheckScope(in); err != nil {
		return sdk.RestoreResult{}, err
	}
	result, err := r.do(ctx, in)
	return result, about(in.Item, err)
}

type waitingAction struct {
	restoreAction
	ready readyFunc
}

func waiting(name string, do restoreFunc, ready readyFunc, resources ...string) action {
	return action{name, waitingAction{restoreAction{resources, do}, ready}}
}

func (w waitingAction) ItemsReady(ctx context.Context, in sdk.ItemsReadyInput) (sdk.ItemsReadyResult, error) {
	ready, err := w.ready(ctx, in.Items, in.Restore)
	return sdk.ItemsReadyResult{Ready: ready}, err
}

// restoreOperation is a restore that goes on after the item is there.
type restoreOperation interface {
	begin(context.Context, sdk.RestoreInput) (sdk.RestoreResult, error)
	RestoreProgress(context.Context, sdk.RestoreOperation) (sdk.Progress, error)
	CancelRestore(context.Context, sdk.RestoreOperation) (sdk.CancelResult, error)
}

type operatingRestoreAction struct {
	restoreAction
	restoreOperation
}

func operatingRestore(name string, o restoreOperation, resources ...string) action {
	return action{name, operatingRestoreAction{restoreAction{resources, o.begin}, o}}
}

func about(item *unstructured.Unstructured, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fields.Describe(item), err)
}

// skip is the restore of what has no place in another cluster.
func skip(context.Context, sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{Skip: true}, nil
}
