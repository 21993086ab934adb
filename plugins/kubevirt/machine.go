package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// backupMachine backs up a VirtualMachine with all that it needs, or refuses to
// if the backup could not be restored.
func (a *actions) backupMachine(ctx context.Context, in sdk.BackupInput) (identifiers, error) {
	vm, name := in.Item, fields.Describe(in.Item)
	spec, err := backupOf(in.Backup)
	if err != nil {
		return nil, err
	}
	f, err := a.filterOf(ctx, in.Backup)
	if err != nil {
		return nil, err
	}
	l, err := a.livingOf(ctx, in.Backup, vm.GetNamespace(), vm.GetName())
	if err != nil {
		return nil, err
	}
	template := fields.MapAt(vm.Object, "spec", "template", "spec")
	if err := a.checkMachine(ctx, in, spec, f, l); err != nil {
		return nil, err
	}
	a.sayGuest(ctx, in.Backup, vm, l)
	a.warnOfDisks(ctx, in.Backup, spec, name)

	fields.RemoveAnnotation(vm, mustIncludeOnRestoreKey)
	pinRevisions(vm)
	keepUUID(vm, l.instance)
	a.recordAddresses(ctx, in.Backup, f, vm)
	setMachine(vm, vm.GetName(), string(vm.GetUID()))

	needed, err := a.withLiving(ctx, in.Backup, vm.GetNamespace(), vm.GetName(), template, referredTo("VirtualMachine", vm.Object), l)
	if err != nil {
		slog.Warn("what belongs to a running virtual machine cannot be looked up, and the backup may lack disks that only the instance names",
			"item", name, "error", err)
	}
	if fields.BoolAt(vm.Object, "status", "created") {
		needed.insertLiving(vm.GetNamespace(), vm.GetName(), l)
	}
	needed, err = a.obtainable(ctx, in.Backup, f, name, needed)
	if err != nil {
		return needed, err
	}
	a.warnOfVolumeGroup(ctx, in.Backup, spec, name, needed)
	record(vm, f, needed)
	return needed, nil
}

// insertLiving adds the instance of a machine and its launcher behind the
// revisions.
func (l *identifiers) insertLiving(namespace, name string, living living) {
	at := 0
	for at < len(*l) && is((*l)[at], controllerRevisions) {
		at++
	}
	if living.exists {
		*l = slices.Insert(*l, at, identify(virtualMachineInstances, namespace, name))
		at++
	}
	if living.hasLauncher {
		*l = slices.Insert(*l, at, identify(pods, namespace, living.launcher.name))
	}
}

// pinRevisions writes the revisions of the instance type and the preference that
// are in use into the specification, as a restore begins without a status.
func pinRevisions(vm *unstructured.Unstructured) {
	for field, status := range map[string]string{"instancetype": "instancetypeRef", "preference": "preferenceRef"} {
		revision := fields.TextAt(vm.Object, "status", status, "controllerRevisionRef", "name")
		if matcher := fields.MapAt(vm.Object, "spec", field); matcher != nil && revision != "" {
			matcher["revisionName"] = revision
		}
	}
}

// keepUUID writes the firmware UUID of the running instance into a specification
// that has none: KubeVirt computes it, and not all of its releases in the same
// way, while licences in the guest are bound to it.
func keepUUID(vm *unstructured.Unstructured, i instance) {
	domain := fields.MapAt(vm.Object, "spec", "template", "spec", "domain")
	if i.firmwareUUID == "" || domain == nil || fields.TextAt(domain, "firmware", "uuid") != "" {
		return
	}
	if firmware := fields.Child(domain, "firmware"); firmware != nil {
		firmware["uuid"] = i.firmwareUUID
	}
}

// setMachine labels an item with the machine that it belongs to, so that a
// restore can select the machine.
func setMachine(item *unstructured.Unstructured, name, uid string) {
	fields.SetLabel(item, machineNameLabel, velero.LabelValue(name))
	if uid != "" {
		fields.SetLabel(item, machineUIDLabel, uid)
	}
}

// removeMachine takes the labels of setMachine off.
func removeMachine(item *unstructured.Unstructured) {
	fields.RemoveLabel(item, machineNameLabel)
	fields.RemoveLabel(item, machineUIDLabel)
}

// recordAddresses writes the addresses that the machine has in the primary
// network of its namespace into an annotation, for a restore that keeps them.
func (a *actions) recordAddresses(ctx context.Context, b sdk.Backup, f *filter, vm *unstructured.Unstructured) {
	fields.RemoveAnnotation(vm, recordedAddressesKey)
	if _, served := f.served.Preferred(addressClaims.GroupResource()); !served {
		return
	}
	all, err := a.addressesIn(ctx, b, vm.GetNamespace())
	if err != nil {
		slog.Warn("the addresses of a virtual machine cannot be read, and a restore cannot keep them", "item", fields.Describe(vm), "error", err)
		return
	}
	primary := addresses{}
	for network := range fields.Each(fields.ListAt(vm.Object, "spec", "template", "spec", "networks")) {
		name := fields.TextAt(network, "name")
		if _, isPod := network["pod"]; isPod && len(all[vm.GetName()][name]) > 0 {
			primary[name] = all[vm.GetName()][name]
		}
	}
	if len(primary) == 0 {
		return
	}
	if text, err := json.Marshal(primary); err == nil {
		fields.Annotate(vm, recordedAddressesKey, string(text))
	}
}

// runStrategies are the values of spec.runStrategy.
var runStrategies = []string{"Always", "Halted", "Manual", "RerunOnFailure", "Once", "WaitAsReceiver"}

// restoreMachine applies the options of the Restore, and restores what the
// machine needs before it.
func restoreMachine(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := restoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	vm, archived := in.Item, velero.BackedUp(in)
	needed, ok := graphOf(archived, restoredFirst...)
	if !ok {
		needed = referredTo("VirtualMachine", archived.Object)
		if asksForState(fields.MapAt(archived.Object, "spec", "template", "spec")) {
			needed.insertState(archived.GetNamespace(), []string{oldStateClaim(archived.GetName())})
		}
	}
	if err := setRunStrategy(vm, r); err != nil {
		return sdk.RestoreResult{}, err
	}
	template := fields.MapAt(vm.Object, "spec", "template")
	if err := applyIdentity(r, in.Restore, vm, template, fields.Annotation(archived, recordedAddressesKey)); err != nil {
		return sdk.RestoreResult{}, err
	}
	mapNetworks(in.Restore, fields.MapAt(template, "spec"))
	warnOfUpdate(r, vm, needed)

	fields.RemoveAnnotation(vm, objectGraphKey)
	fields.RemoveAnnotation(vm, recordedAddressesKey)
	removeMachine(vm)
	includeGraph(vm, r)
	return sdk.RestoreResult{AdditionalItems: needed}, nil
}

func setRunStrategy(vm *unstructured.Unstructured, r *restoreSpec) error {
	wanted, ok := r.Metadata.Labels[runStrategyLabel]
	if !ok {
		return nil
	}
	i := slices.IndexFunc(runStrategies, func(s string) bool { return strings.EqualFold(s, wanted) })
	if i < 0 {
		return badOption(runStrategyLabel, wanted, "want one of "+strings.Join(runStrategies, ", "))
	}
	if spec := fields.MapAt(vm.Object, "spec"); spec != nil {
		spec["runStrategy"] = runStrategies[i]
		delete(spec, "running")
	}
	return nil
}

// includeGraph lets Velero restore what the machine needs even if the Restore
// includes other resources only. Servers before 1.18.3 leave the annotation on
// the object.
func includeGraph(item *unstructured.Unstructured, r *restoreSpec) {
	fields.RemoveAnnotation(item, mustIncludeOnRestoreKey)
	if r.isOn(includeGraphLabel) {
		fields.Annotate(item, mustIncludeOnRestoreKey, "true")
	}
}

// mapNetworks turns the namespaces of networks to those that are restored to.
func mapNetworks(r sdk.Restore, spec fields.Map) {
	for network := range fields.Each(fields.ListAt(spec, "networks")) {
		multus := fields.MapAt(network, "multus")
		namespace, name, qualified := strings.Cut(fields.TextAt(multus, "networkName"), "/")
		if qualified {
			multus["networkName"] = r.TargetNamespace(namespace) + "/" + name
		}
	}
}

// warnOfUpdate says that disks keep the content that they have when the
// specification of a machine is changed to that of the backup.
func warnOfUpdate(r *restoreSpec, vm *unstructured.Unstructured, needed identifiers) {
	if r.Spec.ExistingResourcePolicy != "update" {
		return
	}
	var disks []string
	for _, id := range needed {
		if is(id, claims) {
			disks = append(disks, id.Name)
		}
	}
	slog.Warn("if the virtual machine exists, its specification is changed to that of the backup, but its disks keep the content that they have; "+
		"delete the machine and its disks before the restore to get both",
		"item", fields.Describe(vm), "disks", fmt.Sprint(disks))
}
