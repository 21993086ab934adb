package main

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// objects of a running machine with a data volume and a claim, and of one disk
// each of them.
const (
	runningMachine = `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web}
spec: {template: {spec: {domain: {}}}}
status: {created: true, printableStatus: Running}
`
	runningInstance = `
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web, labels: {LABEL: "true"}}
spec: {domain: {}}
status: {phase: Running}
`
	exclude = "velero.io/exclude-from-backup"
)

// TestRunningMachines has the rules under which a machine with a guest that may
// write to its disks is backed up.
func TestRunningMachines(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		what, filter, status, instanceLabel string
		refused                             bool
	}{
		{what: "everything"},
		{what: "star", filter: `includedResources: ["*"]`},
		{what: "instance excluded by label", instanceLabel: exclude, refused: true},
		{what: "include pods, vmi", filter: `includedResources: [pods, virtualmachineinstances]`},
		{what: "include pods, vmi by short names", filter: `includedResources: [po, vmi]`},
		{what: "include by singular names", filter: `includedResources: [pod, virtualmachineinstance.kubevirt.io]`},
		{what: "include by kinds", filter: `includedResources: [Pod, VirtualMachineInstance]`},
		{what: "include by a pattern", filter: `includedResources: ["virtual*", pods]`},
		{what: "include vmi of another group", filter: `includedResources: [virtualmachineinstances.example.io, pods]`, refused: true},
		{what: "exclude pods, pvc", filter: `excludedResources: [pods, pvc]`},
		{what: "include vmi, pvc", filter: `includedResources: [vmi, pvc]`, refused: true},
		{what: "include vmi", filter: `includedResources: [virtualmachineinstances]`},
		{what: "include pods", filter: `includedResources: [pods]`, refused: true},
		{what: "exclude pods", filter: `excludedResources: [po]`, refused: true},
		{what: "exclude vmi", filter: `excludedResources: [vmis]`, refused: true},
		{what: "exclude vmi, scoped", filter: `excludedNamespaceScopedResources: [vmi]`, refused: true},
		{what: "exclude pods, scoped", filter: `excludedNamespaceScopedResources: [pods]`, refused: true},
		{what: "exclude all, scoped", filter: `excludedNamespaceScopedResources: ["*"]`, refused: true},
		{what: "include vmi, pods, scoped", filter: `includedNamespaceScopedResources: [vmi, pods]`},
		{what: "include pvc, vmi, scoped", filter: `includedNamespaceScopedResources: [vmi, pvc]`, refused: true},
		{what: "starting", status: "Starting", filter: `excludedResources: [pods]`, refused: true},
		{what: "migrating", status: "Migrating", filter: `excludedResources: [pods]`, refused: true},
		{what: "stopping", status: "Stopping", filter: `excludedResources: [pods]`, refused: true},
		{what: "paused", status: "Paused", filter: `excludedResources: [pods]`},
		{what: "stopped", status: "Stopped", filter: `excludedResources: [vmi]`},
		{what: "metadata only", filter: `metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: ""}}, spec: {excludedResources: [dv, pvc], includedResources: [vmi]}`},
		{what: "metadata only, unsafe", filter: `metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: x}}, spec: {excludedResources: [pods]}`},
		{what: "metadata only is off", filter: `metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: "false"}}, spec: {excludedResources: [pods]}`, refused: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := s.fresh(t)
			testlog.Default(t)
			label := c.instanceLabel
			if label == "" {
				label = "app"
			}
			s.create(t, strings.Replace(runningInstance, "LABEL", label, 1))
			vm := s.create(t, runningMachine)[0]
			if c.status != "" {
				setPath(vm.Object, []string{"status", "printableStatus"}, c.status)
			}
			filter := c.filter
			if strings.HasPrefix(filter, "metadata:") {
				filter = "{" + filter + "}"
			}
			_, _, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, filter)
			mustRefuse(t, err, c.refused, "KUBEVIRT_RUNNING_MACHINE_INCOMPLETE", "VirtualMachine "+s.namespace+"/web")
		})
	}
	t.Run("no instance", func(t *testing.T) {
		s := s.fresh(t)
		vm := s.create(t, runningMachine)[0]
		_, items, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, `excludedResources: [vmi]`)
		mustRefuse(t, err, false)
		mustList(t, "items", items)
	})
}

// mustRefuse checks whether an action has failed, and that the error has each of
// the texts.
func mustRefuse(t *testing.T, err error, refused bool, texts ...string) {
	t.Helper()
	if (err != nil) != refused {
		t.Fatalf("error %v, want one: %t", err, refused)
	}
	for _, text := range texts {
		if refused && !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %s in it", err, text)
		}
	}
}

// TestDisks has the rules under which a stopped machine is backed up with its
// disks.
func TestDisks(t *testing.T) {
	s := newSite(t)
	const (
		withVolume   = `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {template: {spec: {volumes: [{name: root, dataVolume: {name: root}}]}}}}`
		withOwn      = `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {dataVolumeTemplates: [{metadata: {name: root}}], template: {spec: {volumes: [{name: root, dataVolume: {name: root}}]}}}}`
		withClaim    = `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {template: {spec: {volumes: [{name: root, persistentVolumeClaim: {claimName: root}}]}}}}`
		volume       = `{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: root, labels: {LABEL: "true"}}, status: {phase: Succeeded}}`
		claim        = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: root, labels: {LABEL: "true"}}, spec: {accessModes: [ReadWriteOnce], volumeName: root, resources: {requests: {storage: 1Gi}}}, status: {phase: Bound}}`
		metadataOnly = `{metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: "true"}}, spec: {excludedResources: [pvc, dv]}}`
	)
	for _, c := range []struct {
		what, vm, objects, filter string
		refused                   bool
	}{
		{"volume", withVolume, volume, "", false},
		{"volume, include dv", withVolume, volume, "includedResources: [dv]", false},
		{"volume, include its kind", withVolume, volume, "includedResources: [DataVolumes]", false},
		{"own volume, exclude dv", withOwn, volume, "excludedResources: [dv]", false},
		{"no volume, include pvc", withVolume, claim, "includedResources: [pvc]", false},
		{"no volume, exclude pvc", withVolume, claim, "excludedResources: [pvc]", true},
		{"no volume, include pods", withVolume, claim, "includedResources: [pods]", true},
		{"no volume, claim excluded by label", withVolume, strings.Replace(claim, "LABEL", exclude, 1), "", true},
		{"volume, include pods and pvc", withVolume, volume, "includedResources: [pods, pvc]", true},
		{"volume, exclude dv", withVolume, volume, "excludedResources: [datavolumes.cdi.kubevirt.io]", true},
		{"volume excluded by label", withVolume, strings.Replace(volume, "LABEL", exclude, 1), "", true},
		{"claim, include pvc", withClaim, claim, "includedResources: [pvc]", false},
		{"claim, include pods", withClaim, claim, "includedResources: [pods]", true},
		{"claim, exclude pvc", withClaim, claim, "excludedResources: [persistentvolumeclaims]", true},
		{"claim excluded by label", withClaim, strings.Replace(claim, "LABEL", exclude, 1), "", true},
		{"claim is absent", withClaim, "", "", false},
		{"claim, metadata only", withClaim, claim, metadataOnly, false},
		{"volume, metadata only", withVolume, volume, metadataOnly, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := s.fresh(t)
			testlog.Default(t)
			if c.objects != "" {
				s.create(t, strings.Replace(c.objects, "LABEL", "app", 1))
			}
			vm := s.create(t, c.vm)[0]
			_, _, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, c.filter)
			mustRefuse(t, err, c.refused, "KUBEVIRT_DISK_EXCLUDED", "/root", "VirtualMachine "+s.namespace+"/web")
		})
	}
}

// TestResourcePolicy has the filters of a ConfigMap with resource policies.
func TestResourcePolicy(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	s.create(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: policy}
data:
  policy: |
    version: v1
    includeExcludePolicy: {excludedNamespaceScopedResources: [po, vm]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: broken}
data: {policy: "includeExcludePolicy: ["}
`)
	s.create(t, strings.Replace(runningInstance, "LABEL", "app", 1))
	vm := s.create(t, runningMachine)[0]
	backup := func(policy, spec string) string {
		return "{metadata: {namespace: " + s.namespace + ", uid: u}, spec: {resourcePolicy: {kind: configmap, name: " + policy + "}" + spec + "}}"
	}
	for _, c := range []struct{ what, backup, err string }{
		{"policy excludes pods", backup("policy", ""), "KUBEVIRT_RUNNING_MACHINE_INCOMPLETE"},
		{"the backup itself wins", backup("policy", ", includedNamespaceScopedResources: [pods, vmi]"), ""},
		{"old filters take no policy", backup("policy", ", includedResources: [pods, vmi]"), ""},
		{"no such policy", backup("absent", ""), "KUBEVIRT_POLICY_UNREADABLE"},
		{"a broken policy", backup("broken", ""), "KUBEVIRT_POLICY_UNREADABLE"},
	} {
		_, _, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, c.backup)
		mustRefuse(t, err, c.err != "", c.err)
	}
}
