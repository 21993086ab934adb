package main

import (
	"context"
	"log/slog"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupInstance backs up a VirtualMachineInstance. One that a controller makes
// is marked, so that it is not restored by itself.
func (a *actions) backupInstance(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	vmi, namespace, name := in.Item, in.Item.GetNamespace(), in.Item.GetName()
	spec, err := backupOf(in.Backup)
	if err != nil {
		return nil, err
	}
	f, err := a.filterOf(ctx, in.Backup)
	if err != nil {
		return nil, err
	}
	fields.RemoveAnnotation(vmi, mustIncludeOnRestoreKey)
	// A user's own annotation would keep the instance from being restored.
	fields.RemoveAnnotation(vmi, ownedInstanceKey)
	owner := ownerOf(vmi, kubevirtGroup, "VirtualMachine")
	owned := isOwned(vmi)
	if owned {
		fields.Annotate(vmi, ownedInstanceKey, "true")
	}
	if owner != "" {
		machineUID, backedUp, err := a.ownerBackedUp(ctx, in.Backup, f, namespace, owner)
		if err != nil {
			return nil, err
		}
		if !backedUp {
			return nil, nil
		}
		setMachine(vmi, owner, machineUID)
	} else if !owned {
		setMachine(vmi, name, string(vmi.GetUID()))
	}

	l := living{exists: true, instance: readInstance(vmi)}
	all, err := a.podsIn(ctx, in.Backup, namespace)
	if err != nil {
		return nil, err
	}
	l.launcher, l.hasLauncher = launcherOf(name, l.instance, all)
	if err := a.checkInstance(ctx, in, f, l, owned); err != nil && !tolerate(vmi, spec, err) {
		return nil, err
	}
	a.sayGuest(ctx, in.Backup, vmi, l)

	needed, err := a.withLiving(ctx, in.Backup, namespace, name, fields.MapAt(vmi.Object, "spec"), referredTo("VirtualMachineInstance", vmi.Object), l)
	if err != nil {
		slog.Warn("what belongs to a virtual machine instance cannot be looked up, and the backup may lack the state of its TPM",
			"item", fields.Describe(vmi), "error", err)
	}
	if l.hasLauncher {
		needed = slices.Insert(needed, 0, identify(pods, namespace, l.launcher.name))
	}
	needed, err = a.obtainable(ctx, in.Backup, f, fields.Describe(vmi), needed)
	if err != nil {
		return needed, err
	}
	if !owned {
		record(vmi, f, needed)
	}
	return needed, nil
}

// isOwned reports whether a controller makes the instance anew after a restore.
func isOwned(vmi *unstructured.Unstructured) bool {
	return ownerOf(vmi, kubevirtGroup, "VirtualMachine") != "" || ownerOf(vmi, kubevirtGroup, "VirtualMachineInstanceReplicaSet") != ""
}

// ownerBackedUp returns the UID of the machine that an instance belongs to, and
// whether the machine is in the backup.
func (a *actions) ownerBackedUp(ctx context.Context, b sdk.Backup, f *filter, namespace, name string) (uid string, backedUp bool, err error) {
	if !f.includes(virtualMachines.GroupResource()) {
		return "", false, nil
	}
	all, err := a.machinesIn(ctx, b, namespace)
	if err != nil {
		return "", false, err
	}
	m, exists, err := find(ctx, a, all, virtualMachines, namespace, name, readMachine)
	return m.uid, exists && !m.excluded, err
}

// checkInstance returns an error if an instance could not be restored from the
// backup with its data.
func (a *actions) checkInstance(ctx context.Context, in sdk.BackupInput, f *filter, l living, owned bool) error {
	if l.instance.isRunning && !l.instance.paused {
		if err := checkPods(f); err != nil {
			return err
		}
		switch {
		case !l.hasLauncher:
			return unsafe("no pod of it was found")
		case l.launcher.excluded:
			return unsafe("its pod " + l.launcher.name + " has the label " + excludeLabel)
		}
	}
	if owned {
		return nil
	}
	return a.checkDisks(ctx, in, f, fields.MapAt(in.Item.Object, "spec"), nil)
}

// restoreInstance restores an instance that no controller makes.
func restoreInstance(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	vmi, archived := in.Item, velero.BackedUp(in)
	if fields.Annotation(archived, ownedInstanceKey) == "true" || isOwned(archived) {
		return sdk.RestoreResult{Skip: true}, nil
	}
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	for _, label := range instanceLabels {
		fields.RemoveLabel(vmi, label)
	}
	if err := applyIdentity(r, in.Restore, vmi, vmi.Object, ""); err != nil {
		return sdk.RestoreResult{}, err
	}
	mapNetworks(in.Restore, fields.MapAt(vmi.Object, "spec"))
	needed, ok := graphOf(archived, restoredFirst...)
	if !ok {
		needed = disksAndMore(referredTo("VirtualMachineInstance", archived.Object))
	}
	fields.RemoveAnnotation(vmi, objectGraphKey)
	removeMachine(vmi)
	includeGraph(vmi, r)
	return sdk.RestoreResult{AdditionalItems: needed}, nil
}

// disksAndMore leaves out pods, which KubeVirt makes anew.
func disksAndMore(all identifiers) identifiers {
	return slices.DeleteFunc(all, func(id sdk.ResourceIdentifier) bool { return is(id, pods) })
}
