package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupDisk tells CDI, by annotations on a data volume and on its claim, that a
// restored claim has its content, so that CDI fills it no second time.
func (a *actions) backupDisk(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	if in.Item.GetKind() == "DataVolume" {
		return a.backupDataVolume(ctx, in)
	}
	return nil, a.backupDiskClaim(ctx, in)
}

func (a *actions) backupDataVolume(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	volume, namespace := in.Item, in.Item.GetNamespace()
	f, err := a.filterOf(ctx, in.Backup)
	if err != nil {
		return nil, err
	}
	a.labelDisk(ctx, in.Backup, f, volume)
	if hasSucceeded(volume) {
		claim := claimOf(volume)
		fields.Annotate(volume, prePopulatedKey, claim)
		return identifiers{identify(claims, namespace, claim)}, nil
	}
	// CDI starts over after a restore, for which it needs the same secrets.
	return a.obtainable(ctx, in.Backup, f, fields.Describe(volume), referredTo("DataVolume", volume.Object))
}

// backupDiskClaim marks the claim of a data volume. One whose content is not
// complete is marked to be left out of a restore.
func (a *actions) backupDiskClaim(ctx context.Context, in sdk.BackupInput) error {
	item, namespace := in.Item, in.Item.GetNamespace()
	if owner := ownerOf(item, cdiGroup, "DataVolume"); owner != "" {
		volume, exists, err := a.findDataVolume(ctx, in.Backup, namespace, owner)
		if err == nil && exists && !volume.succeeded {
			volume, exists, err = a.readDataVolume(ctx, namespace, owner) // which may have become complete
		}
		switch {
		case err != nil:
			return err
		case !exists:
			slog.Info("the data volume of a claim does not exist, and the claim is backed up without a mark for CDI",
				"item", fields.Describe(item), "dataVolume", owner)
		case volume.succeeded:
			fields.RemoveAnnotation(item, inProgressKey)
			fields.Annotate(item, populatedForKey, owner)
		default:
			fields.Annotate(item, inProgressKey, owner)
		}
		return nil
	}
	if isPopulatorClaim(item) {
		fields.Annotate(item, inProgressKey, item.GetName())
		return nil
	}
	return a.markOtherState(ctx, in)
}

func (a *actions) readDataVolume(ctx context.Context, namespace, name string) (dataVolume, bool, error) {
	return find(ctx, a, nil, dataVolumes, namespace, name, readDataVolume)
}

// isPopulatorClaim reports whether CDI has made a claim in order to fill another
// one.
func isPopulatorClaim(item *unstructured.Unstructured) bool {
	return ownerOf(item, "", "PersistentVolumeClaim") != "" &&
		(fields.HasAnnotation(item, populatorKindKey) || strings.HasPrefix(item.GetName(), "prime-"))
}

// markOtherState marks the second claim with a machine's state, which there is
// during a migration, to be left out of a restore: with both KubeVirt would have
// to choose.
func (a *actions) markOtherState(ctx context.Context, in sdk.BackupInput) error {
	item, namespace := in.Item, in.Item.GetNamespace()
	owner := fields.Label(item, stateForLabel)
	if owner == "" {
		return nil
	}
	all, err := a.claimsIn(ctx, in.Backup, namespace)
	if err != nil {
		return err
	}
	l, err := a.livingOf(ctx, in.Backup, namespace, owner)
	if err != nil {
		return err
	}
	if _, others := stateClaims(owner, l.instance, l.launcher, all); slices.Contains(others, item.GetName()) {
		slog.Info("the claim with the state of a virtual machine at the target of its migration is marked to be left out of a restore",
			"item", fields.Describe(item), "virtualMachine", owner)
		fields.Annotate(item, inProgressKey, owner)
	}
	return nil
}

// labelDisk labels a data volume or a claim with the machine that uses it. What
// several machines use belongs to none of them. An error costs the label only.
func (a *actions) labelDisk(ctx context.Context, b sdk.Backup, f *filter, item *unstructured.Unstructured) {
	if _, served := f.served.Preferred(virtualMachines.GroupResource()); !served {
		return
	}
	name, uid, err := a.machineOf(ctx, b, item)
	if err != nil {
		slog.Warn("the virtual machine of a disk cannot be looked up, and a restore cannot select the disk by it",
			"item", fields.Describe(item), "error", err)
	}
	if name != "" {
		setMachine(item, name, uid)
	}
}

// machineOf returns the machine, or the instance without a machine, that uses a
// disk.
func (a *actions) machineOf(ctx context.Context, b sdk.Backup, item *unstructured.Unstructured) (name, uid string, err error) {
	machines, err := a.machinesIn(ctx, b, item.GetNamespace())
	if err != nil {
		return "", "", err
	}
	instances, err := a.instancesIn(ctx, b, item.GetNamespace())
	if err != nil {
		return "", "", err
	}
	id := identify(claims, item.GetNamespace(), item.GetName())
	if item.GetKind() == "DataVolume" {
		id = identify(dataVolumes, item.GetNamespace(), item.GetName())
	} else if owner := fields.Label(item, stateForLabel); owner != "" {
		m, isMachine := machines[owner]
		i, isInstance := instances[owner]
		if !isMachine && !isInstance {
			slog.Warn("a claim has the state of a virtual machine that does not exist", "item", fields.Describe(item), "virtualMachine", owner)
			return "", "", nil
		}
		return owner, cmp.Or(m.uid, i.uid), nil
	}
	users := map[string]string{} // UIDs by names
	for name, i := range instances {
		if slices.Contains(i.disks, id) {
			users[name] = cmp.Or(machines[name].uid, i.uid)
		}
	}
	for name, m := range machines {
		if slices.Contains(m.disks, id) {
			users[name] = m.uid
		}
	}
	if len(users) != 1 {
		return "", "", nil
	}
	for name, uid := range users {
		return name, uid, nil
	}
	return "", "", nil
}

// restoreDataVolume takes off what the backup has added for selections.
func restoreDataVolume(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	removeMachine(in.Item)
	return sdk.RestoreResult{}, nil
}
