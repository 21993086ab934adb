package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// backupPool backs up a pool with its machines, and with what its template
// refers to.
func (a *actions) backupPool(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	pool, namespace := in.Item, in.Item.GetNamespace()
	f, err := a.filterOf(ctx, in.Backup)
	if err != nil {
		return nil, err
	}
	machines, err := a.machinesIn(ctx, in.Backup, namespace)
	if err != nil {
		return nil, err
	}
	var needed identifiers
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		if machines[name].pool == pool.GetName() {
			needed.add(virtualMachines, namespace, name)
		}
	}
	setGraph(pool, needed)
	// The disks of the template are those of no machine.
	for _, id := range referredTo("VirtualMachinePool", pool.Object) {
		if !is(id, dataVolumes) && !is(id, claims) {
			needed = append(needed, id)
		}
	}
	return a.obtainable(ctx, in.Backup, f, fields.Describe(pool), needed)
}

// restorePool restores a pool that does nothing, and before it the machines that
// the backup has of it: otherwise the pool would make blank machines of the same
// names first.
func restorePool(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	pool := in.Item
	machines, _ := graphOf(velero.BackedUp(in), virtualMachines)
	fields.RemoveAnnotation(pool, objectGraphKey)
	if spec := fields.MapAt(pool.Object, "spec"); spec != nil && spec["paused"] != true {
		spec["paused"] = true
		slog.Warn("the pool is restored paused, so that it makes no blank machines beside the restored ones, which belong to no pool any more; "+
			"set spec.paused to false when it is to make machines again", "item", fields.Describe(pool), "machines", len(machines))
	}
	return sdk.RestoreResult{AdditionalItems: machines}, nil
}
