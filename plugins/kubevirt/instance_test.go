package main

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// TestInstances has the rules under which an instance is backed up, and whether
// it is marked to be left out of a restore.
func TestInstances(t *testing.T) {
	s := newSite(t)
	const (
		ownedByMachine = `ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: web, uid: x}]`
		ownedBySet     = `ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstanceReplicaSet, name: set, uid: x}]`
		ownedByOther   = `ownerReferences: [{apiVersion: example.io/v1, kind: VirtualMachine, name: web, uid: x}]`
		paused         = `status: {phase: Running, conditions: [{type: Paused, status: "True"}]}`
		running        = `status: {phase: Running}`
		withVolume     = `spec: {volumes: [{name: a, dataVolume: {name: root}}]}`
		withClaim      = `spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: root}}]}`
		metadataOnly   = `{metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: x}}, spec: {SPEC}}`
	)
	volume := "apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataVolume\nmetadata: {name: root}\nstatus: {phase: Succeeded}\n---" + claimYAML("root", "")
	for _, c := range []struct {
		what, metadata, spec, status, filter, launcher, machine string
		refused, owned, items                                   bool
	}{
		{what: "paused, exclude pods", status: paused, filter: "excludedResources: [pods]", items: true},
		{what: "paused, pods are not included", status: paused, filter: "includedResources: [vmi, pvc]", items: true},
		{what: "paused, pod excluded by label", status: paused, launcher: exclude, items: true},
		{what: "running", status: running, items: true},
		{what: "running, owned, include vmi, vm, pvc", metadata: ownedByMachine, status: running, filter: "includedResources: [vmi, vm, pvc]", refused: true},
		{what: "running, exclude pods", status: running, filter: "excludedResources: [pods]", refused: true},
		{what: "running, pod excluded by label", status: running, launcher: exclude, refused: true},
		{what: "running, without a pod", status: running, launcher: "none", refused: true},
		{what: "running, include vmi, vm", status: running, filter: "includedResources: [vmi, vm]", items: true},
		{what: "running, exclude pods and pvc", status: running, filter: "excludedResources: [pods, pvc]", items: true},
		{what: "pending, without a pod", status: "status: {phase: Pending}", launcher: "none"},
		{what: "ended, without a pod", status: "status: {phase: Succeeded}", launcher: "none"},
		{what: "owned", metadata: ownedByMachine, status: running, owned: true, items: true},
		{what: "owned, exclude vm", metadata: ownedByMachine, status: running, filter: "excludedResources: [vm]", owned: true},
		{what: "owned, exclude vm, unsafe", metadata: ownedByMachine, status: running, filter: "excludedResources: [vm, pods]", owned: true},
		{what: "owned, vm excluded by label", metadata: ownedByMachine, status: running, machine: exclude, owned: true},
		{what: "owned, vm is gone", metadata: ownedByMachine, status: running, machine: "none", owned: true},
		{what: "owned by a set", metadata: ownedBySet, status: running, owned: true, items: true},
		{what: "owned by something else", metadata: ownedByOther, status: running, items: true},
		{what: "standalone with a volume, include vmi, pods", spec: withVolume, status: running, filter: "includedResources: [vmi, pods]", refused: true},
		{what: "standalone with a volume, exclude dv", spec: withVolume, status: running, filter: "excludedResources: [dv]", refused: true},
		{what: "standalone with a claim, include vmi, pods", spec: withClaim, status: running, filter: "includedResources: [vmi, pods]", refused: true},
		{what: "standalone with a claim, exclude pvc", spec: withClaim, status: running, filter: "excludedResources: [pvc]", refused: true},
		{what: "standalone with a volume, metadata only", spec: withVolume, status: running, filter: strings.Replace(metadataOnly, "SPEC", "excludedResources: [dv]", 1), items: true},
		{what: "standalone, metadata only, unsafe", status: running, filter: strings.Replace(metadataOnly, "SPEC", "excludedResources: [pods]", 1), items: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := s.fresh(t)
			testlog.Default(t)
			if c.launcher != "none" {
				label := c.launcher
				if label == "" {
					label = "app"
				}
				s.create(t, strings.Replace(launcherYAML("launcher", "annotations: {kubevirt.io/domain: web}", "{phase: Running}"),
					"kubevirt.io: virt-launcher", `kubevirt.io: virt-launcher, `+label+`: "true"`, 1))
			}
			if c.machine != "none" {
				label := c.machine
				if label == "" {
					label = "app"
				}
				s.create(t, `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, labels: {`+label+`: "true"}}}`)
			}
			s.create(t, volume)
			vmi := s.create(t, "{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: web, "+c.metadata+"}, "+c.spec+comma(c.spec)+c.status+"}")[0]
			item, items, err := backUp(t, s.actions(), "backup-virtualmachineinstance-action", vmi, c.filter)
			mustRefuse(t, err, c.refused, "VirtualMachineInstance "+s.namespace+"/web", "KUBEVIRT_")
			if c.refused {
				return
			}
			if owned := fields.Annotation(item, ownedInstanceKey) == "true"; owned != c.owned {
				t.Errorf("owned is %t: %v", owned, item.GetAnnotations())
			}
			if c.items != (len(items) > 0) {
				t.Errorf("items %v", items)
			}
			if c.items && items[0] != "pods/"+s.namespace+"/launcher" {
				t.Errorf("items %v", items)
			}
		})
	}
}

func comma(text string) string {
	if text == "" {
		return ""
	}
	return ", "
}

func TestRestoreInstance(t *testing.T) {
	const vmi = `
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web, namespace: shop, METADATA, labels: {kubevirt.io/created-by: x, kubevirt.io/migrationJobUID: x, kubevirt.io/nodeName: x,
  kubevirt.io/migrationTargetNodeName: x, kubevirt.io/schedulable: x, kubevirt.io/install-strategy: x, kubevirt.io/size: x, app: web, velero.kubevirt.io/vm-name: web}}
spec: {domain: {devices: {interfaces: [{macAddress: "02:1"}]}, firmware: {uuid: old}}, volumes: [{name: a, dataVolume: {name: a}}]}
status: {volumeStatus: [{hotplugVolume: {attachPodName: hp}}]}
`
	for _, metadata := range []string{
		`annotations: {cdi.kubevirt.io/velero.isOwned: "true"}`,
		`ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: web}]`,
		`ownerReferences: [{apiVersion: kubevirt.io/v1alpha3, kind: VirtualMachineInstanceReplicaSet, name: web}]`,
	} {
		if _, result, err := restored(t, "restore-vmi-action", strings.Replace(vmi, "METADATA", metadata, 1), ""); err != nil || !result.Skip {
			t.Errorf("%s: %v, %v", metadata, result, err)
		}
	}
	standalone := strings.Replace(vmi, "METADATA, ", "", 1)
	item, result, err := restored(t, "restore-vmi-action", standalone, "")
	if err != nil || result.Skip {
		t.Fatal(result, err)
	}
	mustList(t, "items", short(forms(result.AdditionalItems)), "datavolumes/a", "persistentvolumeclaims/a")
	want := parse(t, standalone)
	want.SetLabels(map[string]string{"kubevirt.io/size": "x", "app": "web"})
	delete(want.Object, "status")
	mustEqual(t, "restored instance", item, want)

	item, _, err = restored(t, "restore-vmi-action", standalone, `{metadata: {labels: {velero.kubevirt.io/clear-mac-address: x, velero.kubevirt.io/generate-new-firmware-uuid: x}}}`)
	domain := fields.MapAt(item.Object, "spec", "domain")
	if err != nil || strings.Contains(asYAML(t, domain), "macAddress") || !uuidForm.MatchString(fields.TextAt(domain, "firmware", "uuid")) {
		t.Errorf("%v, %v", item, err)
	}
}
