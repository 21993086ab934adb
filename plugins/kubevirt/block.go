package main

import (
	"context"
	"log/slog"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Velero backs up the items of a block together, between the hooks of its pods.
// A block has all that belongs to one machine: the machine, its instance, the pod
// in which it runs, those that attach disks, and its disks. Whichever of machine,
// instance and pods Velero meets first brings the others. What machines may
// share, such as secrets, is in no block.
//
// An error of these actions would make the backup PartiallyFailed, so they warn
// instead: without a block the disks are saved, but not at one moment.

// blockOfMachine returns the block of a machine, or of an instance, whose machine
// has the same name.
func (a *actions) blockOfMachine(ctx context.Context, in sdk.RelatedItemsInput) identifiers {
	return a.blockOf(ctx, in.Backup, in.Item, in.Item.GetName())
}

// blockOfPod returns the block of the machine that runs in a pod, or that the pod
// attaches a disk to.
func (a *actions) blockOfPod(ctx context.Context, in sdk.RelatedItemsInput) identifiers {
	name, err := a.machineOfPod(ctx, in.Backup, in.Item)
	if err != nil {
		warnOfBlock(in.Item, err)
	}
	if name == "" {
		return nil
	}
	return a.blockOf(ctx, in.Backup, in.Item, name)
}

// machineOfPod returns the name of the instance of a pod, or "".
func (a *actions) machineOfPod(ctx context.Context, b sdk.Backup, item *unstructured.Unstructured) (string, error) {
	p := readPod(item)
	if !p.launcher {
		all, err := a.podsIn(ctx, b, item.GetNamespace())
		if err != nil {
			return "", err
		}
		for _, other := range all {
			if other.uid == p.launcherUID {
				p = other
			}
		}
	}
	instances, err := a.instancesIn(ctx, b, item.GetNamespace())
	for name, i := range instances {
		if p.instanceUID == i.uid {
			return name, err
		}
	}
	return p.domain, err
}

func (a *actions) blockOf(ctx context.Context, b sdk.Backup, item *unstructured.Unstructured, name string) identifiers {
	members, l, err := a.membersOf(ctx, b, item.GetNamespace(), name)
	if err != nil {
		warnOfBlock(item, err)
	}
	a.sayGuest(ctx, b, item, l)
	return members
}

func warnOfBlock(item *unstructured.Unstructured, err error) {
	slog.Warn("not all that belongs to a virtual machine was found, so its disks may be saved at different moments", "item", fields.Describe(item), "error", err)
}

// membersOf returns the block of a machine.
func (a *actions) membersOf(ctx context.Context, b sdk.Backup, namespace, name string) (members identifiers, l living, err error) {
	machines, err := a.machinesIn(ctx, b, namespace)
	if err != nil {
		return nil, living{}, err
	}
	if l, err = a.livingOf(ctx, b, namespace, name); err != nil {
		return nil, l, err
	}
	m, hasMachine := machines[name]
	if hasMachine {
		members.add(virtualMachines, namespace, name)
	}
	if l.exists {
		members.add(virtualMachineInstances, namespace, name)
	}
	if l.hasLauncher {
		members.add(pods, namespace, l.launcher.name)
	}
	disks, err := a.withLiving(ctx, b, namespace, name, nil, slices.Clone(m.disks), l)
	for _, id := range disks {
		exists, existsErr := a.isSaved(ctx, b, id)
		if existsErr != nil {
			err = existsErr
		}
		if exists && !slices.Contains(members, id) {
			members = append(members, id)
		}
	}
	return members, l, err
}

// isSaved reports whether a disk or pod exists, and has content to save.
func (a *actions) isSaved(ctx context.Context, b sdk.Backup, id sdk.ResourceIdentifier) (bool, error) {
	switch {
	case is(id, claims):
		c, exists, err := a.findClaim(ctx, b, id.Namespace, id.Name)
		return exists && !c.waiting, err
	case is(id, dataVolumes):
		_, exists, err := a.findDataVolume(ctx, b, id.Namespace, id.Name)
		return exists, err
	}
	return true, nil
}
