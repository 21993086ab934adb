package main

import (
	"context"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// namePrefix begins the names of all actions.
const namePrefix = "kubevirt-velero-plugin/"

// table has every action under its registered name. Velero runs them in the
// order of their names.
func (a *actions) table() []action {
	podsOfMachines := sdk.Selector{
		IncludedResources: []string{"pods"},
		LabelSelector:     applicationLabel + " in (" + launcherApplication + "," + hotplugApplication + ")",
	}
	return []action{
		backup("backup-virtualmachine-action", a.backupMachine, "virtualmachines.kubevirt.io"),
		backup("backup-virtualmachineinstance-action", a.backupInstance, "virtualmachineinstances.kubevirt.io"),
		backup("backup-virtualmachinepool-action", a.backupPool, "virtualmachinepools.pool.kubevirt.io"),
		backup("backup-datavolume-action", a.backupDisk, "persistentvolumeclaims", "datavolumes.cdi.kubevirt.io"),
		backup("backup-pvc-action", a.backupClaim, "persistentvolumeclaims"),
		backup("backup-volumesnapshot-action", a.backupVolumeSnapshot, "volumesnapshots.snapshot.storage.k8s.io"),
		restores("restore-vm-action", restoreMachine, "virtualmachines.kubevirt.io"),
		restores("restore-vmi-action", restoreInstance, "virtualmachineinstances.kubevirt.io"),
		restores("restore-virtualmachinepool-action", restorePool, "virtualmachinepools.pool.kubevirt.io"),
		{"restore-pod-action", podsOfMachines, restoreFunc(restorePod)},
		restores("restore-datavolume-action", restoreDataVolume, "datavolumes.cdi.kubevirt.io"),
		restores("restore-pvc-action", restoreClaim, "persistentvolumeclaims"),
		restores("restore-volumesnapshot-action", restoreVolumeSnapshot, "volumesnapshots.snapshot.storage.k8s.io"),
		restores("restore-networkattachmentdefinition-action", restoreNetwork, "network-attachment-definitions.k8s.cni.cncf.io"),
		restores("restore-ipamclaim-action", restoreAddressClaim, "ipamclaims.k8s.cni.cncf.io"),
		restores("restore-transient-action", restoreTransient, transientResources...),
		block("block-vm-action", a.blockOfMachine, "virtualmachines.kubevirt.io"),
		block("block-vmi-action", a.blockOfMachine, "virtualmachineinstances.kubevirt.io"),
		{"block-pod-action", podsOfMachines, blockFunc(a.blockOfPod)},
	}
}

// An action is one row of the table: a name without its prefix, what it applies
// to, and a function of one of the types below.
type action struct {
	name     string
	selector sdk.Selector
	do       any
}

type (
	backupFunc  func(context.Context, sdk.BackupInput) (identifiers, error)
	restoreFunc func(context.Context, sdk.RestoreInput) (sdk.RestoreResult, error)
	blockFunc   func(context.Context, sdk.RelatedItemsInput) identifiers
)

func backup(name string, do backupFunc, resources ...string) action {
	return action{name, sdk.Selector{IncludedResources: resources}, do}
}

func restores(name string, do restoreFunc, resources ...string) action {
	return action{name, sdk.Selector{IncludedResources: resources}, do}
}

func block(name string, do blockFunc, resources ...string) action {
	return action{name, sdk.Selector{IncludedResources: resources}, do}
}

// register registers the whole table.
func register(p *sdk.Plugin, a *actions) {
	for _, row := range a.table() {
		name := namePrefix + row.name
		switch do := row.do.(type) {
		case backupFunc:
			p.BackupItemAction(name, sdk.BackupFuncs{Selector: row.selector, Backup: do.run}.New)
		case restoreFunc:
			p.RestoreItemAction(name, sdk.RestoreFuncs{Selector: row.selector, Restore: do.run}.New)
		case blockFunc:
			p.ItemBlockAction(name, sdk.ItemBlockFuncs{Selector: row.selector, RelatedItems: do.run}.New)
		}
	}
}

func (do backupFunc) run(ctx context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	items, err := do(ctx, in)
	return sdk.BackupResult{AdditionalItems: items}, about(in.Item, err)
}

func (do restoreFunc) run(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	if err := r.CheckScope(in); err != nil {
		return sdk.RestoreResult{}, err
	}
	result, err := do(ctx, in)
	return result, about(in.Item, err)
}

func (do blockFunc) run(ctx context.Context, in sdk.RelatedItemsInput) (sdk.RelatedItemsResult, error) {
	return sdk.RelatedItemsResult{Items: do(ctx, in)}, nil
}

// about names the item in an error.
func about(item *unstructured.Unstructured, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fields.Describe(item), err)
}
