package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runningStatuses are those of spec.printableStatus of a machine with a guest
// that may write to its disks.
var runningStatuses = []string{"Starting", "Running", "Migrating", "Stopping"}

// checkMachine returns an error if the machine could not be restored from the
// backup. In a backup of metadata only it warns instead.
func (a *actions) checkMachine(ctx context.Context, in sdk.BackupInput, spec *backupSpec, f *filter, l living) error {
	status := fields.TextAt(in.Item.Object, "status", "printableStatus")
	if l.exists && slices.Contains(runningStatuses, status) {
		if err := checkRunning(f, l); err != nil && !tolerate(in.Item, spec, err) {
			return err
		}
	}
	template := fields.MapAt(in.Item.Object, "spec", "template", "spec")
	if err := a.checkDisks(ctx, in, f, template, ownDisks(in.Item)); err != nil && !tolerate(in.Item, spec, err) {
		return err
	}
	return nil
}

// tolerate logs an error of a backup of metadata only, and reports whether it is
// one.
func tolerate(item *unstructured.Unstructured, spec *backupSpec, err error) bool {
	if spec.metadataOnly() {
		slog.Warn("the backup is of metadata only, and goes on", "item", fields.Describe(item), "reason", err)
	}
	return spec.metadataOnly()
}

// checkRunning returns an error unless what makes a consistent backup of a
// running machine is in the backup.
func checkRunning(f *filter, l living) error {
	switch {
	case !f.includes(virtualMachineInstances.GroupResource()):
		return unsafe(virtualMachineInstances.GroupResource().String() + " are not in the backup")
	case l.instance.excluded:
		return unsafe("its VirtualMachineInstance has the label " + excludeLabel)
	}
	return checkPods(f)
}

// checkPods returns an error if disks are saved without the pods whose hooks
// freeze the guest.
func checkPods(f *filter) error {
	if f.includes(claims.GroupResource()) && !f.includes(pods.GroupResource()) {
		return unsafe("persistentvolumeclaims are in the backup, but the pods whose hooks freeze the guest are not")
	}
	return nil
}

// ownDisks returns the names of data volumes that the machine makes itself.
func ownDisks(vm *unstructured.Unstructured) map[string]bool {
	own := map[string]bool{}
	for template := range fields.Each(fields.ListAt(vm.Object, "spec", "dataVolumeTemplates")) {
		own[fields.TextAt(template, "metadata", "name")] = true
	}
	return own
}

// checkDisks returns an error if a disk of a specification, which is not one of
// the machine's own, is kept out of the backup.
func (a *actions) checkDisks(ctx context.Context, in sdk.BackupInput, f *filter, spec fields.Map, own map[string]bool) error {
	namespace := in.Item.GetNamespace()
	for volume := range fields.Each(fields.ListAt(spec, "volumes")) {
		if name := fields.TextAt(volume, "dataVolume", "name"); name != "" && !own[name] {
			if err := a.checkDataVolume(ctx, in, f, namespace, name); err != nil {
				return err
			}
		}
		if name := fields.TextAt(volume, "persistentVolumeClaim", "claimName"); name != "" {
			if err := a.checkClaim(ctx, in, f, namespace, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDataVolume checks a data volume, or the claim of one that CDI has deleted
// after its work was done.
func (a *actions) checkDataVolume(ctx context.Context, in sdk.BackupInput, f *filter, namespace, name string) error {
	volume, exists, err := a.findDataVolume(ctx, in.Backup, namespace, name)
	what := fmt.Sprintf("DataVolume %s/%s", namespace, name)
	switch {
	case err != nil:
		return err
	case !exists:
		return a.checkClaim(ctx, in, f, namespace, name)
	case !f.includes(dataVolumes.GroupResource()):
		return diskMissing(what, "the backup does not include "+dataVolumes.GroupResource().String())
	case volume.excluded:
		return diskMissing(what, "it has the label "+excludeLabel)
	}
	return nil
}

func (a *actions) checkClaim(ctx context.Context, in sdk.BackupInput, f *filter, namespace, name string) error {
	c, exists, err := a.findClaim(ctx, in.Backup, namespace, name)
	what := fmt.Sprintf("PersistentVolumeClaim %s/%s", namespace, name)
	switch {
	case err != nil:
		return err
	case !f.includes(claims.GroupResource()):
		return diskMissing(what, "the backup does not include "+claims.GroupResource().String())
	case !exists:
		// The machine as it is lacks the disk, too. obtainable warns of it.
		return nil
	case c.excluded:
		return diskMissing(what, "it has the label "+excludeLabel)
	}
	return nil
}

// warnOfDisks says once for a backup that its way to save volumes saves no disks
// of virtual machines.
func (a *actions) warnOfDisks(ctx context.Context, b sdk.Backup, spec *backupSpec, item string) {
	if spec.Spec.DefaultVolumesToFsBackup {
		a.once(ctx, b, "file-system", func() {
			slog.Warn("file-system backup cannot restore the disks of virtual machines: use CSI snapshots, with or without data movement", "item", item)
		})
	}
}

// once runs say the first time that it is called with a topic in a backup.
func (a *actions) once(ctx context.Context, b sdk.Backup, topic string, say func()) {
	_, _ = a.said.Get(ctx, key(b, topic), func(context.Context) (bool, error) {
		say()
		return true, nil
	})
}

// warnOfVolumeGroup says that some of the disks of a machine are not in the group
// of volumes whose snapshots are cut together.
func (a *actions) warnOfVolumeGroup(ctx context.Context, b sdk.Backup, spec *backupSpec, item string, needed identifiers) {
	var within, outside []string
	for _, id := range needed {
		if !is(id, claims) {
			continue
		}
		c, ok, err := a.findClaim(ctx, b, id.Namespace, id.Name)
		switch {
		case err != nil || !ok:
		case c.volumeGroup != "":
			within = append(within, id.Name)
		default:
			outside = append(outside, id.Name)
		}
	}
	if len(within) > 0 && len(outside) > 0 {
		slog.Warn("only some disks of a virtual machine carry the label of a volume group, so their snapshots are not of the same moment",
			"item", item, "label", spec.volumeGroupLabel(), "with", fmt.Sprint(within), "without", fmt.Sprint(outside))
	}
}
