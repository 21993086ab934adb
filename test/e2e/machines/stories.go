package machines

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
)

// Stories are what administrators do with machines. They hold for every release
// of Velero.
func (c Cluster) Stories(t *testing.T) {
	for _, story := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"restored twice", c.restoredTwice},
		{"one machine by its name", c.oneMachine},
		{"one disk", c.oneDisk},
		{"beside the original", c.besideTheOriginal},
		{"pool", c.pool},
		{"instance type", c.instanceType},
		{"addresses", c.addresses},
		{"state of a migration", c.stateOfMigration},
		{"hotplugged disk", c.hotpluggedDisk},
		{"run strategy", c.runStrategy},
		{"requests", c.requests},
		{"unfilled disk", c.unfilledDisk},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			story.run(t)
		})
	}
}

// machine is a machine with a disk and a secret of its own.
func machine(name, strategy string) string {
	return strings.NewReplacer("NAME", name, "STRATEGY", strategy).Replace(`
apiVersion: v1
kind: Secret
metadata: {name: NAME-login}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: NAME, labels: {app: NAME}}
spec:
  runStrategy: STRATEGY
  dataVolumeTemplates: [{metadata: {name: NAME}, spec: {source: {http: {url: "http://disks/root"}}, storage: {}}}]
  template: {spec: {domain: {}, volumes: [{name: root, dataVolume: {name: NAME}}], accessCredentials: [{sshPublicKey: {source: {secret: {secretName: NAME-login}}}}]}}`)
}

// stateClaim is a claim with the state of a machine, with a volume.
func stateClaim(s *site, name, machine string) string {
	return strings.NewReplacer("NAME", name, "MACHINE", machine, "NS", s.namespace).Replace(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: NS-NAME}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, hostPath: {path: /dev/null}, claimRef: {namespace: NS, name: NAME}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME, labels: {persistent-state-for: MACHINE}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: NS-NAME, resources: {requests: {storage: 1Gi}}}`)
}

func (s *site) mustBackUp(spec string) string {
	s.t.Helper()
	backup, phase := s.backUp(spec)
	if phase != "Completed" {
		s.t.Fatalf("the backup is %s", phase)
	}
	return backup
}

func (s *site) mustRestore(backup, spec string) {
	s.t.Helper()
	if phase := s.restore(backup, spec); phase != "Completed" {
		s.t.Fatalf("the restore is %s", phase)
	}
}

func (s *site) mustReport(want ...string) {
	s.t.Helper()
	if got := s.report(); got != strings.Join(want, ", ") {
		s.t.Errorf("restored:\n got %s\nwant %s", got, strings.Join(want, ", "))
	}
}

var (
	virtualMachine = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"}
	claim          = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	dataVolume     = schema.GroupVersionKind{Group: "cdi.kubevirt.io", Version: "v1beta1", Kind: "DataVolume"}
)

// restoredTwice backs up what was restored: the second restore finds the same as
// the first one, and nothing of the backups is left on the objects.
func (c Cluster) restoredTwice(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Always"))
	for range 2 {
		backup := s.mustBackUp("")
		s.lose()
		s.mustRestore(backup, "")
		s.mustReport("VirtualMachine web Running", "VirtualMachineInstance web Running", "DataVolume web Succeeded",
			"PersistentVolumeClaim web original", "Secret web-login")
		for _, kind := range []schema.GroupVersionKind{virtualMachine, claim, dataVolume} {
			o := s.get(kind, "web")
			for key := range fields.MapAt(o.Object, "metadata", "labels") {
				if strings.HasPrefix(key, "velero.kubevirt.io/") {
					t.Errorf("%s has the label %s", o.GetKind(), key)
				}
			}
			for key := range fields.MapAt(o.Object, "metadata", "annotations") {
				if strings.HasPrefix(key, "velero.kubevirt.io/") || strings.HasPrefix(key, "kvp.kubevirt.io/") {
					t.Errorf("%s has the annotation %s", o.GetKind(), key)
				}
			}
		}
	}
}

// oneMachine restores one of two machines by its name and by its UID, with its
// disk, its state and its secret.
func (c Cluster) oneMachine(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Halted") + "\n---" + machine("db", "Halted") + "\n---" + stateClaim(s, "state-of-web", "web") + "\n---" + stateClaim(s, "state-of-db", "db"))
	uid := string(s.get(virtualMachine, "db").GetUID())
	backup := s.mustBackUp("")
	s.lose()
	s.mustRestore(backup, "labelSelector: {matchLabels: {velero.kubevirt.io/vm-name: web}}")
	s.mustReport("VirtualMachine web Stopped", "DataVolume web Succeeded", "PersistentVolumeClaim state-of-web original",
		"PersistentVolumeClaim web original", "Secret web-login")
	s.lose()
	s.mustRestore(backup, "labelSelector: {matchLabels: {velero.kubevirt.io/vm-uid: "+uid+"}}")
	s.mustReport("VirtualMachine db Stopped", "DataVolume db Succeeded", "PersistentVolumeClaim db original",
		"PersistentVolumeClaim state-of-db original", "Secret db-login")
	if fields.Label(s.get(claim, "state-of-db"), "persistent-state-for") != "db" {
		t.Error("the claim with the state of db has lost its label")
	}
}

// oneDisk restores one disk by the UID of its claim, without the machine. The
// user's own value of the label comes back.
func (c Cluster) oneDisk(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Halted") + "\n---" + machine("db", "Halted"))
	s.patch(claim, "db", `{"metadata":{"labels":{"velero.kubevirt.io/pvc-uid":"mine"}}}`, "")
	uids := map[string]string{"web": string(s.get(claim, "web").GetUID()), "db": string(s.get(claim, "db").GetUID())}
	backup := s.mustBackUp("")
	for name, label := range map[string]string{"web": "", "db": "mine"} {
		s.lose()
		s.mustRestore(backup, "labelSelector: {matchLabels: {velero.kubevirt.io/pvc-uid: "+uids[name]+"}}")
		s.mustReport("PersistentVolumeClaim " + name + " original")
		restored := s.get(claim, name)
		if fields.Label(restored, "velero.kubevirt.io/pvc-uid") != label || fields.HasAnnotation(restored, "velero.kubevirt.io/original-pvc-uid") {
			t.Errorf("labels %v, annotations %v", restored.GetLabels(), restored.GetAnnotations())
		}
	}
}

// besideTheOriginal restores a machine into another namespace, with an identity
// of its own and with its networks there.
func (c Cluster) besideTheOriginal(t *testing.T) {
	s, copied := c.newSite(t), c.newSite(t)
	s.create(strings.ReplaceAll(`
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: net}
spec: {config: '{"type": "ovn-k8s-cni-overlay", "netAttachDefName": "NS/net", "mtu": 1400}'}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web}
spec:
  runStrategy: Halted
  template:
    metadata: {annotations: {ovn.kubernetes.io/mac_address: "02:00:00:00:00:01"}}
    spec:
      domain: {devices: {interfaces: [{name: a, macAddress: "02:00:00:00:00:01"}]}, firmware: {uuid: 11111111-2222-4333-8444-555555555555}}
      networks: [{name: a, multus: {networkName: NS/net}}]`, "NS", s.namespace))
	backup := s.mustBackUp("")
	mapping := "namespaceMapping: {" + s.namespace + ": " + copied.namespace + "}"
	copied.mustRestore(backup, "metadata: {labels: {velero.kubevirt.io/network-identity: new}}\nspec: {"+mapping+"}")
	copied.mustReport("VirtualMachine web Stopped", "NetworkAttachmentDefinition net")
	vm := copied.get(virtualMachine, "web")
	spec := fields.MapAt(vm.Object, "spec", "template", "spec")
	text, uuid := copied.yaml(vm), fields.TextAt(spec, "domain", "firmware", "uuid")
	if strings.Contains(text, "02:00:00:00:00:01") || uuid == "" || strings.HasPrefix(uuid, "11111111") || !strings.Contains(text, "networkName: "+copied.namespace+"/net") {
		t.Errorf("the copy is\n%s", text)
	}
	config := fields.TextAt(copied.get(kinds[7], "net").Object, "spec", "config")
	if want := `{"type": "ovn-k8s-cni-overlay", "netAttachDefName": "` + copied.namespace + `/net", "mtu": 1400}`; config != want {
		t.Errorf("the network is %s", config)
	}
	if text := s.yaml(s.get(virtualMachine, "web")); !strings.Contains(text, "02:00:00:00:00:01") {
		t.Errorf("the original is\n%s", text)
	}
}

// pool restores a pool with its machines, and not with blank ones.
func (c Cluster) pool(t *testing.T) {
	s := c.newSite(t)
	s.create(`
apiVersion: pool.kubevirt.io/v1beta1
kind: VirtualMachinePool
metadata: {name: web, labels: {app: pool}}
spec:
  replicas: 2
  virtualMachineTemplate:
    spec:
      runStrategy: Halted
      dataVolumeTemplates: [{metadata: {name: root}, spec: {source: {http: {url: "http://disks/root"}}, storage: {}}}]
      template: {spec: {domain: {}, volumes: [{name: root, dataVolume: {name: root}}]}}`)
	backup := s.mustBackUp("labelSelector: {matchLabels: {app: pool}}")
	s.lose()
	s.mustRestore(backup, "")
	s.mustReport("VirtualMachinePool web paused", "VirtualMachine web-0 Stopped", "VirtualMachine web-1 Stopped",
		"DataVolume web-0 Succeeded", "DataVolume web-1 Succeeded", "PersistentVolumeClaim web-0 original", "PersistentVolumeClaim web-1 original")
}

// instanceType restores a machine with the revision of its type, after the type
// has changed and gone.
func (c Cluster) instanceType(t *testing.T) {
	s := c.newSite(t)
	s.create(`
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec: {runStrategy: Halted, instancetype: {name: small}, preference: {name: linux}, template: {spec: {domain: {}}}}`)
	revision := func(field string) string {
		vm := s.get(virtualMachine, "web")
		spec := fields.TextAt(vm.Object, "spec", field, "revisionName")
		status := fields.TextAt(vm.Object, "status", field+"Ref", "controllerRevisionRef", "name")
		return spec + " " + status
	}
	types, preferences := strings.TrimSpace(revision("instancetype")), strings.TrimSpace(revision("preference"))
	backup := s.mustBackUp("labelSelector: {matchLabels: {app: web}}")
	s.lose()
	s.mustRestore(backup, "")
	s.mustReport("VirtualMachine web Stopped")
	if got := revision("instancetype"); types == "" || got != types+" "+types {
		t.Errorf("the type was %q and is %q", types, got)
	}
	if got := revision("preference"); preferences == "" || got != preferences+" "+preferences {
		t.Errorf("the preference was %q and is %q", preferences, got)
	}
}

// addresses restores a machine whose addresses OVN-Kubernetes keeps: its
// controller refuses a claim of another machine, and takes a request for the old
// addresses.
func (c Cluster) addresses(t *testing.T) {
	s := c.newSite(t)
	s.create(`
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web}
spec: {runStrategy: Always, template: {spec: {domain: {}, networks: [{name: primary, pod: {}}]}}}`)
	backup := s.mustBackUp("")
	for label, want := range map[string]string{"": "", "velero.kubevirt.io/network-identity: keep": `{"primary":["10.0.0.5/24","fd00::5/64"]}`} {
		s.lose()
		s.mustRestore(backup, "metadata: {labels: {"+label+"}}\nspec: {}")
		s.mustReport("VirtualMachine web Running", "VirtualMachineInstance web Running")
		vm := s.get(virtualMachine, "web")
		if got := fields.TextAt(vm.Object, "spec", "template", "metadata", "annotations", "network.kubevirt.io/addresses"); got != want {
			t.Errorf("%q: the machine asks for the addresses %s", label, got)
		}
	}
}

// stateOfMigration restores a machine that was migrating with its state at the
// source alone.
func (c Cluster) stateOfMigration(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Always") + "\n---" + stateClaim(s, "a-target", "web") + "\n---" + stateClaim(s, "source", "web"))
	s.patch(kinds[2], "web", `{"status":{"migrationState":{"sourcePersistentStatePVCName":"source","targetPersistentStatePVCName":"a-target"}}}`, "status")
	backup := s.mustBackUp("")
	s.lose()
	s.mustRestore(backup, "")
	s.mustReport("VirtualMachine web Running", "VirtualMachineInstance web Running", "DataVolume web Succeeded",
		"PersistentVolumeClaim source original", "PersistentVolumeClaim web original", "Secret web-login")
}

// hotpluggedDisk restores a disk that was attached to the instance alone, from a
// backup that selects the machine.
func (c Cluster) hotpluggedDisk(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Always") + `
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: hot}
spec: {source: {blank: {}}, storage: {}}`)
	s.patch(kinds[2], "web", `{"spec":{"volumes":[{"name":"root","dataVolume":{"name":"web"}},{"name":"hot","dataVolume":{"name":"hot","hotpluggable":true}}]}}`, "")
	backup := s.mustBackUp("labelSelector: {matchLabels: {app: web}}")
	if items := s.archived(backup); !slices.Contains(items, "PersistentVolumeClaim hot") || !slices.Contains(items, "Pod virt-launcher-web") || !slices.Contains(items, "VirtualMachineInstance web") {
		t.Errorf("the backup has %v", items)
	}
	s.lose()
	s.mustRestore(backup, "")
	s.mustReport("VirtualMachine web Running", "VirtualMachineInstance web Running", "DataVolume hot Succeeded", "DataVolume web Succeeded",
		"PersistentVolumeClaim hot original", "PersistentVolumeClaim web original", "Secret web-login")
}

// runStrategy starts a machine that was stopped, and keeps one stopped that ran.
func (c Cluster) runStrategy(t *testing.T) {
	for before, after := range map[string]string{"Halted": "Always", "Always": "Halted"} {
		s := c.newSite(t)
		s.create(machine("web", before))
		backup := s.mustBackUp("")
		s.lose()
		s.mustRestore(backup, "metadata: {labels: {velero.kubevirt.io/restore-run-strategy: "+after+"}}\nspec: {}")
		state := []string{"VirtualMachine web Stopped"}
		if after == "Always" {
			state = []string{"VirtualMachine web Running", "VirtualMachineInstance web Running"}
		}
		s.mustReport(append(state, "DataVolume web Succeeded", "PersistentVolumeClaim web original", "Secret web-login")...)
	}
}

// requests are not carried out once more.
func (c Cluster) requests(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Halted") + `
---
apiVersion: clone.kubevirt.io/v1beta1
kind: VirtualMachineClone
metadata: {name: copy}
spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}`)
	backup := s.mustBackUp("")
	s.lose()
	s.mustRestore(backup, "")
	s.mustReport("VirtualMachine web Stopped", "DataVolume web Succeeded", "PersistentVolumeClaim web original", "Secret web-login")
	s.lose()
	s.mustRestore(backup, "metadata: {labels: {velero.kubevirt.io/restore-transient-objects: \"true\"}}\nspec: {}")
	s.mustReport("VirtualMachine web Stopped", "VirtualMachineClone copy", "DataVolume web Succeeded", "PersistentVolumeClaim web original", "Secret web-login")
}

// unfilledDisk backs up a machine that never ran, whose disk waits for its first
// pod.
func (c Cluster) unfilledDisk(t *testing.T) {
	s := c.newSite(t)
	s.create(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: blank}
spec: {accessModes: [ReadWriteOnce], storageClassName: waits, resources: {requests: {storage: 1Gi}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec: {runStrategy: Halted, template: {spec: {domain: {}, volumes: [{name: a, persistentVolumeClaim: {claimName: blank}}]}}}`)
	backup := s.mustBackUp("labelSelector: {matchLabels: {app: web}}")
	if items := s.archived(backup); !slices.Equal(items, []string{"VirtualMachine web"}) {
		t.Errorf("the backup has %v", items)
	}
}

// Hooks backs up a running machine that a label selects. The hooks of its pod are
// run, as all of the machine is in one block; without a node they fail, and the
// disks are saved all the same. Releases before 1.15 know no blocks.
func (c Cluster) Hooks(t *testing.T) {
	s := c.newSite(t)
	s.create(machine("web", "Always"))
	s.patch(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "virt-launcher-web", `{"metadata":{"annotations":{
"pre.hook.backup.velero.io/container":"compute","pre.hook.backup.velero.io/command":"[\"/usr/bin/virt-freezer\",\"--freeze\"]",
"post.hook.backup.velero.io/container":"compute","post.hook.backup.velero.io/command":"[\"/usr/bin/virt-freezer\",\"--unfreeze\"]"}}}`, "")
	name, phase := s.backUp("labelSelector: {matchLabels: {app: web}}")
	backup, err := s.velero.Resource("backups").Get(s.ctx, name, getOptions)
	if err != nil {
		t.Fatal(err)
	}
	attempted, _ := fields.At(backup.Object, "status", "hookStatus", "hooksAttempted").(int64)
	if phase != "PartiallyFailed" || attempted < 1 {
		t.Errorf("the backup is %s, %d hooks were run", phase, attempted)
	}
	if items := s.archived(name); !slices.Contains(items, "PersistentVolumeClaim web") || !slices.Contains(items, "VirtualMachine web") {
		t.Errorf("the backup has %v", items)
	}
}
