package machines

import (
	"strings"
	"testing"
)

// The machines of the matrix. Each has one disk, root.
const (
	// templated has a data volume that the machine makes itself.
	templated = `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec:
  runStrategy: STRATEGY
  dataVolumeTemplates: [{metadata: {name: root}, spec: {source: {http: {url: "http://disks/root"}}, storage: {}}}]
  template: {spec: {domain: {}, volumes: [{name: root, dataVolume: {name: root}}]}}`
	disk = `
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: root, labels: {app: web}}
spec: {source: {http: {url: "http://disks/root"}}, storage: {}}`
	// separate has a data volume that somebody else has made, claimed the claim of
	// one.
	separate = disk + `
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec: {runStrategy: STRATEGY, template: {spec: {domain: {}, volumes: [{name: root, dataVolume: {name: root}}]}}}`
	claimed = disk + `
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec: {runStrategy: STRATEGY, template: {spec: {domain: {}, volumes: [{name: root, persistentVolumeClaim: {claimName: root}}]}}}`
	// standalone is an instance without a machine.
	standalone = disk + `
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web, labels: {app: web}}
spec: {domain: {}, volumes: [{name: root, dataVolume: {name: root}}]}`
)

// one is a backup of a machine and what has become of it after its loss and a
// restore.
type one struct {
	what, objects, state, backup string
	exclude                      []string // kinds whose objects get the label velero.io/exclude-from-backup
	want                         string   // nothing: the backup is PartiallyFailed
}

const (
	intact       = "VirtualMachine web Stopped, DataVolume root Succeeded, PersistentVolumeClaim root original"
	running      = "VirtualMachine web Running, VirtualMachineInstance web Running, DataVolume root Succeeded, PersistentVolumeClaim root original"
	reimported   = "VirtualMachine web Stopped, DataVolume root Succeeded, PersistentVolumeClaim root imported, imported root"
	diskOnly     = "DataVolume root Succeeded, PersistentVolumeClaim root original"
	volumeWaits  = "DataVolume root Pending"
	machineWaits = "VirtualMachine web Provisioning, DataVolume root Pending"
	instanceBack = "VirtualMachineInstance web Running, DataVolume root Succeeded, PersistentVolumeClaim root original"
	nothing      = "-"
)

var matrix = []one{
	{"disk; include dv, pvc, pv", disk, "", "includedResources: [datavolumes, persistentvolumeclaims, persistentvolumes]", nil, diskOnly},
	{"disk; include dv", disk, "", "includedResources: [dv]", nil, volumeWaits},
	{"disk; exclude pvc", disk, "", "excludedResources: [persistentvolumeclaims]", nil, volumeWaits},
	{"disk; pvc excluded by label", disk, "", "", []string{"PersistentVolumeClaim"}, volumeWaits},
	{"disk; include pvc, pv", disk, "", "includedResources: [pvc, pv]", nil, "PersistentVolumeClaim root original"},
	{"disk; exclude dv", disk, "", "excludedResources: [dvs]", nil, "PersistentVolumeClaim root original"},
	{"disk; selector", disk, "", "labelSelector: {matchLabels: {app: web}}", nil, diskOnly},

	{"templated, stopped", templated, "Halted", "", nil, intact},
	{"templated, stopped; include vm, dv, pvc, pv", templated, "Halted", "includedResources: [vm, dv, pvc, pv]", nil, intact},
	{"templated, stopped; exclude pods", templated, "Halted", "excludedResources: [pods]", nil, intact},
	{"templated, stopped; selector on the machine", templated, "Halted", "labelSelector: {matchLabels: {app: web}}", nil, intact},
	{"templated, stopped; include vm, dv", templated, "Halted", "includedResources: [vm, dv]", nil, machineWaits},
	{"templated, stopped; exclude pvc", templated, "Halted", "excludedResources: [pvc]", nil, machineWaits},
	{"templated, stopped; include vm, pvc, pv", templated, "Halted", "includedResources: [vm, pvc, pv]", nil, intact},
	{"templated, stopped; exclude dv", templated, "Halted", "excludedResources: [dv]", nil, intact},
	{"templated, stopped; dv excluded by label", templated, "Halted", "", []string{"DataVolume"}, intact},
	{"templated, stopped; include vm", templated, "Halted", "includedResources: [vm]", nil, reimported},
	{"templated, stopped; exclude dv, pvc", templated, "Halted", "excludedResources: [dv, pvc]", nil, reimported},
	{"templated, stopped; dv, pvc excluded by label", templated, "Halted", "", []string{"DataVolume", "PersistentVolumeClaim"}, reimported},
	{"templated, stopped; exclude vm", templated, "Halted", "excludedResources: [vm]", nil, diskOnly},

	{"templated, running", templated, "Always", "", nil, running},
	{"templated, running; star", templated, "Always", `includedResources: ["*"]`, nil, running},
	{"templated, running; selector on the machine", templated, "Always", "labelSelector: {matchLabels: {app: web}}", nil, running},
	{"templated, running; include vm, dv, pvc", templated, "Always", "includedResources: [vm, dv, pvc]", nil, ""},
	{"templated, running; include vm, vmi, pvc", templated, "Always", "includedResources: [vm, vmi, pvc]", nil, ""},
	{"templated, running; include vm", templated, "Always", "includedResources: [vm]", nil, ""},
	{"templated, running; exclude pods", templated, "Always", "excludedResources: [pods]", nil, ""},
	{"templated, running; exclude pods, dv", templated, "Always", "excludedResources: [pods, dv]", nil, ""},
	{"templated, running; exclude vmi", templated, "Always", "excludedResources: [vmi]", nil, ""},
	{"templated, running; exclude vmi, scoped", templated, "Always", "excludedNamespaceScopedResources: [vmi]", nil, ""},
	{"templated, running; vmi excluded by label", templated, "Always", "", []string{"VirtualMachineInstance"}, ""},
	{"templated, running; pod excluded by label", templated, "Always", "", []string{"Pod"}, ""},
	{"templated, running; exclude pods, pvc", templated, "Always", "excludedResources: [pods, pvc]", nil, machineWaits},
	{"templated, running; metadata only", templated, "Always", "metadata: {labels: {velero.kubevirt.io/metadataBackup: \"true\"}}\nspec: {excludedResources: [pvc, dv]}", nil, "VirtualMachine web Running, VirtualMachineInstance web Running, DataVolume root Succeeded, PersistentVolumeClaim root imported, imported root"},
	{"templated, running; include vmi", templated, "Always", "includedResources: [vmi]", nil, nothing},
	{"templated, running; include vmi, dv, pvc, pod", templated, "Always", "includedResources: [vmi, dv, pvc, po, pv]", nil, diskOnly},
	{"templated, running; exclude vm", templated, "Always", "excludedResources: [vm]", nil, diskOnly},
	{"templated, running; vm excluded by label", templated, "Always", "", []string{"VirtualMachine"}, diskOnly},

	{"templated, paused; include vm, dv, pvc, pv", templated, "paused", "includedResources: [vm, dv, pvc, pv]", nil, running},
	{"templated, paused; include vm, vmi", templated, "paused", "includedResources: [vm, vmi]", nil, "VirtualMachine web Running, VirtualMachineInstance web Running, DataVolume root Succeeded, PersistentVolumeClaim root imported, imported root"},
	{"templated, paused; exclude pods", templated, "paused", "excludedResources: [pods]", nil, running},
	{"templated, paused; pod excluded by label", templated, "paused", "", []string{"Pod"}, running},

	{"separate, stopped; include vm, dv, pvc, pv", separate, "Halted", "includedResources: [vm, dv, pvc, pv]", nil, intact},
	{"separate, stopped; exclude dv", separate, "Halted", "excludedResources: [dv]", nil, ""},
	{"separate, stopped; dv excluded by label", separate, "Halted", "", []string{"DataVolume"}, ""},
	{"separate, stopped; exclude pvc", separate, "Halted", "excludedResources: [pvc]", nil, machineWaits},
	{"separate, stopped; pvc excluded by label", separate, "Halted", "", []string{"PersistentVolumeClaim"}, machineWaits},
	{"separate, running; include vm, pvc, pv", separate, "Always", "includedResources: [vm, pvc, pv]", nil, ""},
	{"separate, running; include vm", separate, "Always", "includedResources: [vm]", nil, ""},
	{"claimed, stopped; include vm, pvc, pv", claimed, "Halted", "includedResources: [vm, pvc, pv]", nil, "VirtualMachine web Stopped, PersistentVolumeClaim root original"},
	{"claimed, stopped; exclude pvc", claimed, "Halted", "excludedResources: [pvc]", nil, ""},
	{"claimed, stopped; pvc excluded by label", claimed, "Halted", "", []string{"PersistentVolumeClaim"}, ""},

	{"standalone, running; include dv, vmi, pod, pvc, pv", standalone, "", "includedResources: [dv, vmi, pods, pvc, pv]", nil, instanceBack},
	{"standalone, running; include vmi", standalone, "", "includedResources: [vmi]", nil, ""},
	{"standalone, running; include vmi, pod", standalone, "", "includedResources: [vmi, pods]", nil, ""},
	{"standalone, running; exclude pods", standalone, "", "excludedResources: [pods]", nil, ""},
	{"standalone, running; exclude dv", standalone, "", "excludedResources: [dv]", nil, ""},
	{"standalone, running; pod excluded by label", standalone, "", "", []string{"Pod"}, ""},
	{"standalone, running; dv excluded by label", standalone, "", "", []string{"DataVolume"}, ""},
	{"standalone, paused; exclude pods", standalone, "paused", "excludedResources: [pods]", nil, instanceBack},
	{"standalone, paused; pod excluded by label", standalone, "paused", "", []string{"Pod"}, instanceBack},
	{"standalone; exclude vmi", standalone, "", "excludedResources: [vmi]", nil, diskOnly},
	{"standalone; vmi excluded by label", standalone, "", "", []string{"VirtualMachineInstance"}, diskOnly},
}

// Matrix backs up each kind of machine in each state with each filter, loses it
// and restores it.
func (c Cluster) Matrix(t *testing.T) {
	for _, m := range matrix {
		t.Run(m.what, func(t *testing.T) {
			t.Parallel()
			c.one(t, m)
		})
	}
}

func (c Cluster) one(t *testing.T, m one) {
	s := c.newSite(t)
	strategy := m.state
	if strategy == "paused" {
		strategy = "Always"
	}
	s.create(strings.NewReplacer("STRATEGY", strategy).Replace(m.objects))
	if m.state == "paused" {
		s.pause("web", m.objects != standalone)
	}
	for _, kind := range m.exclude {
		s.excludeAll(kind)
	}
	backup, phase := s.backUp(m.backup)
	if m.want == "" {
		if phase != "PartiallyFailed" {
			t.Fatalf("the backup is %s", phase)
		}
		return
	}
	if phase != "Completed" {
		t.Fatalf("the backup is %s", phase)
	}
	s.lose()
	if phase := s.restore(backup, ""); phase != "Completed" {
		t.Errorf("the restore is %s", phase)
	}
	want := m.want
	if want == nothing {
		want = ""
	}
	if got := s.report(); got != want {
		t.Errorf("restored:\n got %s\nwant %s", got, want)
	}
}

// excludeAll labels the objects of a kind, so that Velero leaves them out.
func (s *site) excludeAll(kind string) {
	s.t.Helper()
	for _, gvk := range kinds {
		if gvk.Kind != kind {
			continue
		}
		for _, o := range s.list(gvk) {
			s.patch(gvk, o.GetName(), `{"metadata":{"labels":{"velero.io/exclude-from-backup":"true"}}}`, "")
		}
	}
}
