package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// claimYAML is a bound claim.
func claimYAML(name, labels string) string {
	return `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ` + name + `, labels: {` + labels + `}}
spec: {accessModes: [ReadWriteOnce], volumeName: ` + name + `, resources: {requests: {storage: 1Gi}}}
status: {phase: Bound}`
}

// launcherYAML is the pod of an instance.
func launcherYAML(name, metadata, status string) string {
	return `
apiVersion: v1
kind: Pod
metadata: {name: ` + name + `, labels: {kubevirt.io: virt-launcher}, ` + metadata + `}
spec: {containers: [{name: compute, image: a}]}
status: ` + status
}

const objectYAML = `
apiVersion: v1
kind: Secret
metadata: {name: s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
`

// A machine brings all that it refers to, in order, and the annotation and labels
// for its restore.
func TestMachineGraph(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	for _, name := range []string{"root", "data", "dump"} {
		s.create(t, claimYAML(name, ""))
	}
	s.create(t, claimYAML("backend-pvc", "persistent-state-for: web"))
	s.create(t, objectYAML)
	s.create(t, `
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: root}
status: {phase: Succeeded}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: type-v1}
revision: 1
data: {}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: preference-v1}
revision: 1
data: {}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web}
spec: {domain: {firmware: {uuid: 11111111-2222-4333-8444-555555555555}}}
status: {phase: Running}
---`+launcherYAML("virt-launcher-web", "annotations: {kubevirt.io/domain: web}", "{phase: Running}")+`
---`+launcherYAML("virt-launcher-other", "annotations: {kubevirt.io/domain: other}", "{phase: Running}")+`
---`+launcherYAML("virt-launcher-none", "annotations: {}", "{phase: Running}"))
	vm := s.create(t, `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, annotations: {velero.kubevirt.io/object-graph: forged}}
spec:
  instancetype: {name: small}
  preference: {name: linux, revisionName: preference-v0}
  unknown: {field: 1}
  template:
    spec:
      domain: {devices: {tpm: {persistent: true}}}
      volumes:
      - {name: root, dataVolume: {name: root}}
      - {name: data, persistentVolumeClaim: {claimName: data}}
      - {name: dump, memoryDump: {claimName: dump}}
      - {name: c, configMap: {name: c}}
      - {name: s, secret: {secretName: s}}
      - {name: sa, serviceAccount: {serviceAccountName: sa}}
      accessCredentials:
      - {sshPublicKey: {source: {secret: {secretName: login}}}}
      - {userPassword: {source: {secret: {secretName: absent}}}}
status:
  created: true
  printableStatus: Running
  instancetypeRef: {controllerRevisionRef: {name: type-v1}}
  preferenceRef: {controllerRevisionRef: {name: preference-v1}}
`)[0]
	item, items, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, "")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", short(items),
		"controllerrevisions/type-v1", "controllerrevisions/preference-v1", "virtualmachineinstances/web", "pods/virt-launcher-web",
		"datavolumes/root", "persistentvolumeclaims/root", "persistentvolumeclaims/data", "persistentvolumeclaims/dump",
		"persistentvolumeclaims/backend-pvc", "configmaps/c", "secrets/s", "serviceaccounts/sa", "secrets/login")

	want := vm.DeepCopy()
	setPath(want.Object, []string{"spec", "instancetype", "revisionName"}, "type-v1")
	setPath(want.Object, []string{"spec", "preference", "revisionName"}, "preference-v1")
	setPath(want.Object, []string{"spec", "template", "spec", "domain", "firmware", "uuid"}, "11111111-2222-4333-8444-555555555555")
	want.SetLabels(map[string]string{"velero.kubevirt.io/vm-name": "web", "velero.kubevirt.io/vm-uid": string(vm.GetUID())})
	want.SetAnnotations(map[string]string{"velero.kubevirt.io/object-graph": s.in(`["controllerrevisions.apps/NS/type-v1",` +
		`"controllerrevisions.apps/NS/preference-v1","datavolumes.cdi.kubevirt.io/NS/root","persistentvolumeclaims/NS/root",` +
		`"persistentvolumeclaims/NS/data","persistentvolumeclaims/NS/dump","persistentvolumeclaims/NS/backend-pvc","configmaps/NS/c",` +
		`"secrets/NS/s","serviceaccounts/NS/sa","secrets/NS/login"]`)})
	mustEqual(t, "archived machine", item, want)

	// What is excluded is named, as Velero decides about it, but not recorded.
	item, items, err = backUp(t, s.actions(), "backup-virtualmachine-action", vm, "{metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: x}}, spec: {excludedResources: [dv, pvc], includedResources: [vmi]}}")
	if err != nil || !strings.Contains(strings.Join(items, " "), "datavolumes") {
		t.Errorf("metadata only: %v, %v", items, err)
	}
	if text := fields.Annotation(item, objectGraphKey); text != "[]" {
		t.Errorf("recorded %s", text)
	}
	// Not created: neither instance nor pod.
	setPath(vm.Object, []string{"status", "created"}, "")
	if _, items, err = backUp(t, s.actions(), "backup-virtualmachine-action", vm, ""); err != nil || strings.Contains(strings.Join(items, " "), "pods/") {
		t.Errorf("not created: %v, %v", items, err)
	}
}

// Revisions that only the specification has are taken from there.
func TestRevisionsOfSpec(t *testing.T) {
	s := newSite(t)
	s.create(t, "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: type-v1}\nrevision: 1\ndata: {}\n---\napiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: preference-v1}\nrevision: 1\ndata: {}")
	vm := s.create(t, `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {instancetype: {revisionName: type-v1}, preference: {revisionName: preference-v1}, template: {spec: {}}}}`)[0]
	_, items, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, "")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", short(items), "controllerrevisions/type-v1", "controllerrevisions/preference-v1")
}

// The claims with a machine's state are found by their label whatever the machine
// asks for, and by an old name if it asks for state that lasts.
func TestStateClaims(t *testing.T) {
	s := newSite(t)
	const vm = `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {template: {spec: {domain: DOMAIN}}}}`
	const tpm, efi, none = "{devices: {tpm: {persistent: true}}}", "{firmware: {bootloader: {efi: {persistent: true}}}}", "{}"
	for _, c := range []struct {
		what, domain, objects string
		want                  []string
	}{
		{"of a preference", none, claimYAML("generated-a", "persistent-state-for: web"), []string{"persistentvolumeclaims/generated-a"}},
		{"of another machine", tpm, claimYAML("generated-a", "persistent-state-for: db"), nil},
		{"old name, TPM", tpm, claimYAML("persistent-state-for-web", ""), []string{"persistentvolumeclaims/persistent-state-for-web"}},
		{"old name, EFI", efi, claimYAML("persistent-state-for-web", ""), []string{"persistentvolumeclaims/persistent-state-for-web"}},
		{"old name, not asked for", none, claimYAML("persistent-state-for-web", ""), nil},
		{"none", tpm, "", nil},
		{"migrating", none, claimYAML("source", "persistent-state-for: web") + "\n---" + claimYAML("a-target", "persistent-state-for: web") + `
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web}
status: {phase: Running, migrationState: {sourcePersistentStatePVCName: source, targetPersistentStatePVCName: a-target}}`, []string{"persistentvolumeclaims/source"}},
		{"migrated", none, claimYAML("source", "persistent-state-for: web") + "\n---" + claimYAML("a-target", "persistent-state-for: web") + `
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web}
status: {phase: Running, migrationState: {completed: true, sourcePersistentStatePVCName: source}}
---
apiVersion: v1
kind: Pod
metadata: {name: launcher, labels: {kubevirt.io: virt-launcher}, annotations: {kubevirt.io/domain: web}}
spec: {containers: [{name: compute, image: a}], volumes: [{name: v, persistentVolumeClaim: {claimName: a-target}}]}
status: {phase: Running}`, []string{"persistentvolumeclaims/a-target"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := s.fresh(t)
			testlog.Default(t)
			if c.objects != "" {
				s.create(t, c.objects)
			}
			vm := s.create(t, strings.Replace(vm, "DOMAIN", c.domain, 1))[0]
			a := s.actions()
			_, items, err := backUp(t, a, "backup-virtualmachine-action", vm, "")
			if err != nil {
				t.Fatal(err)
			}
			mustList(t, "items", short(items), c.want...)
			if !strings.HasPrefix(c.what, "migrat") {
				return
			}
			// The other claim is marked to be left out of a restore.
			for _, name := range []string{"source", "a-target"} {
				claim, _, err := backUp(t, a, "backup-datavolume-action", s.get(t, "v1", "PersistentVolumeClaim", name), "")
				chosen := c.want[0] == "persistentvolumeclaims/"+name
				if err != nil || fields.HasAnnotation(claim, inProgressKey) == chosen {
					t.Errorf("%s: %v, %v", name, claim, err)
				}
			}
		})
	}
}

// Hotplugged disks, which only the instance names, come with the pods that attach
// them.
func TestHotplug(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	s.create(t, claimYAML("hot", "")+"\n---"+launcherYAML("launcher", "annotations: {kubevirt.io/domain: web}", "{phase: Running}")+`
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web}
spec: {volumes: [{name: hot, persistentVolumeClaim: {claimName: hot, hotpluggable: true}}]}
status: {phase: Running, volumeStatus: [{name: hot, hotplugVolume: {attachPodName: hp-volume-x}, persistentVolumeClaimInfo: {claimName: hot}}]}`)
	vm := s.create(t, runningMachine)[0]
	_, items, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, "")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", short(items), "virtualmachineinstances/web", "pods/launcher", "persistentvolumeclaims/hot", "pods/hp-volume-x")
}

// What Velero would stumble over is left out with a warning.
func TestUnobtainable(t *testing.T) {
	s := newSite(t)
	log := testlog.Default(t)
	s.create(t, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: blank}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: blank}
status: {phase: WaitForFirstConsumer}`)
	vm := s.create(t, `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web}, spec: {template: {spec: {networks: [{name: a, multus: {networkName: other/net}}, {name: b, multus: {networkName: gone}}],
volumes: [{name: v, dataVolume: {name: blank}}, {name: c, persistentVolumeClaim: {claimName: gone}}]}}}}`)[0]
	_, items, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, "includedNamespaces: ["+s.namespace+"]")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", short(items), "datavolumes/blank")
	for _, want := range []string{
		"level=WARN msg=\"an object that the item refers to is in a namespace that the backup does not include",
		"object=network-attachment-definitions.k8s.cni.cncf.io/other/net",
		"level=WARN msg=\"a claim that the item refers to has no volume yet",
		"level=WARN msg=\"a claim that the item refers to does not exist",
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%q is not logged once:\n%s", want, log)
		}
	}
}

// The launcher is the living pod of the instance, and while it migrates the one
// at the source.
func TestLauncher(t *testing.T) {
	i := instance{uid: "i", node: "n1", activePods: map[string]string{"source": "n1", "target": "n2"}}
	launchers := func(all ...pod) map[string]pod {
		named := map[string]pod{}
		for _, p := range all {
			p.launcher = true
			named[p.name] = p
		}
		return named
	}
	for _, c := range []struct {
		what, want string
		pods       map[string]pod
	}{
		{"by UID", "b", launchers(pod{name: "a", instanceUID: "j", domain: "web"}, pod{name: "b", instanceUID: "i"})},
		{"by domain", "a", launchers(pod{name: "a", domain: "web"})},
		{"ended", "b", launchers(pod{name: "a", instanceUID: "i", ended: true}, pod{name: "b", instanceUID: "i"})},
		{"migrating", "z-source", launchers(pod{name: "a-target", uid: "target", instanceUID: "i"}, pod{name: "z-source", uid: "source", instanceUID: "i"})},
		{"not active", "b", launchers(pod{name: "a", uid: "x", instanceUID: "i"}, pod{name: "b", uid: "target", instanceUID: "i"})},
		{"none", "", map[string]pod{"hp": {name: "hp", instanceUID: "i"}}},
	} {
		if got, _ := launcherOf("web", i, c.pods); got.name != c.want {
			t.Errorf("%s: %q, want %q", c.what, got.name, c.want)
		}
	}
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestRestoreMachine(t *testing.T) {
	const vm = `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web, namespace: shop, labels: {velero.kubevirt.io/vm-name: web, velero.kubevirt.io/vm-uid: u, app: web}, ANNOTATIONS}
spec: {SPEC, template: {metadata: {annotations: {ovn.kubernetes.io/mac_address: "0a:1", net.shop.ovn.kubernetes.io/ip_address: 10.0.0.5, cni.projectcalico.org/ipAddrs: "[]", keep: me}},
  spec: {domain: {devices: {interfaces: [{name: a, macAddress: "02:1"}]}, firmware: {serial: s1, uuid: old}},
  networks: [{name: a, multus: {networkName: shop/net}}, {name: b, multus: {networkName: net}}],
  volumes: [{name: a, dataVolume: {name: a}}, {name: b, dataVolume: {name: b}}]}}}
`
	derived := []string{"datavolumes/a", "persistentvolumeclaims/a", "datavolumes/b", "persistentvolumeclaims/b",
		"network-attachment-definitions/net"}
	for _, c := range []struct {
		what, spec, annotations, restore string
		items                            []string
		want                             func(spec, template map[string]any) bool
		err, warns                       string
	}{
		{what: "as archived", spec: "runStrategy: Always", items: derived, want: func(spec, template map[string]any) bool {
			return spec["runStrategy"] == "Always" && fields.TextAt(template, "spec", "domain", "firmware", "uuid") == "old" &&
				len(fields.MapAt(template, "metadata", "annotations")) == 4
		}},
		{what: "halted stays", spec: "runStrategy: Halted", want: func(spec, _ map[string]any) bool { return spec["runStrategy"] == "Halted" }},
		{what: "start it", spec: "runStrategy: Halted", restore: "velero.kubevirt.io/restore-run-strategy: always", want: func(spec, _ map[string]any) bool { return spec["runStrategy"] == "Always" }},
		{what: "halt it", spec: "running: true", restore: "velero.kubevirt.io/restore-run-strategy: Halted", want: func(spec, _ map[string]any) bool { return spec["runStrategy"] == "Halted" && spec["running"] == nil }},
		{what: "no run strategy", spec: "running: true", restore: "velero.kubevirt.io/restore-run-strategy: Sometimes", err: "want one of Always, Halted"},
		{what: "clear MAC", restore: `velero.kubevirt.io/clear-mac-address: ""`, want: func(_, template map[string]any) bool {
			i := fields.ListAt(template, "spec", "domain", "devices", "interfaces")[0].(map[string]any)
			return i["macAddress"] == nil && i["name"] == "a" && len(fields.MapAt(template, "metadata", "annotations")) == 1 &&
				fields.TextAt(template, "spec", "domain", "firmware", "uuid") == "old"
		}},
		{what: "clear MAC is off", restore: `velero.kubevirt.io/clear-mac-address: "false"`, want: func(_, template map[string]any) bool {
			return fields.ListAt(template, "spec", "domain", "devices", "interfaces")[0].(map[string]any)["macAddress"] == "02:1"
		}},
		{what: "new UUID", restore: `velero.kubevirt.io/generate-new-firmware-uuid: "true"`, want: func(_, template map[string]any) bool {
			return uuidForm.MatchString(fields.TextAt(template, "spec", "domain", "firmware", "uuid"))
		}},
		{what: "new identity", restore: `velero.kubevirt.io/network-identity: new`, want: func(_, template map[string]any) bool {
			return uuidForm.MatchString(fields.TextAt(template, "spec", "domain", "firmware", "uuid")) && len(fields.MapAt(template, "metadata", "annotations")) == 1
		}},
		{what: "keep identity", annotations: `velero.kubevirt.io/addresses: '{"b":["10.0.0.5/24","fd00::5/64"]}'`, restore: `velero.kubevirt.io/network-identity: keep`, want: func(_, template map[string]any) bool {
			return fields.TextAt(template, "metadata", "annotations", "network.kubevirt.io/addresses") == `{"b":["10.0.0.5/24","fd00::5/64"]}`
		}},
		{what: "addresses are not kept unasked", annotations: `velero.kubevirt.io/addresses: '{"b":["10.0.0.5/24"]}'`, want: func(_, template map[string]any) bool {
			return fields.At(template, "metadata", "annotations", "network.kubevirt.io/addresses") == nil
		}},
		{what: "forged addresses", annotations: `velero.kubevirt.io/addresses: 'x'`, restore: `velero.kubevirt.io/network-identity: keep`, warns: "cannot be read"},
		{what: "contradiction", restore: `velero.kubevirt.io/network-identity: keep, velero.kubevirt.io/clear-mac-address: x`, err: "contradicts"},
		{what: "unknown identity", restore: `velero.kubevirt.io/network-identity: both`, err: "want keep or new"},
		{what: "recorded objects", annotations: `velero.kubevirt.io/object-graph: '["persistentvolumeclaims/shop/generated","secrets/shop/s"]'`, items: []string{"persistentvolumeclaims/generated", "secrets/s"}},
		{what: "forged objects", annotations: `velero.kubevirt.io/object-graph: '["secrets/other/s","clusterroles.rbac.authorization.k8s.io//admin","pods/shop/p","secrets","x/y/z","network-attachment-definitions.k8s.cni.cncf.io/other/n"]'`,
			items: []string{"network-attachment-definitions/n"}, warns: "is none that the item can need"},
		{what: "broken objects", annotations: `velero.kubevirt.io/object-graph: '{'`, items: derived, warns: "cannot be read"},
		{what: "update", restore: "}}, spec: {existingResourcePolicy: update", items: derived, warns: "its disks keep the content that they have"},
		{what: "another namespace", restore: "}}, spec: {namespaceMapping: {shop: copy}", items: derived, warns: "MAC address 02:1, firmware serial s1", want: func(_, template map[string]any) bool {
			return fields.TextAt(fields.ListAt(template, "spec", "networks")[0].(map[string]any), "multus", "networkName") == "copy/net" &&
				fields.TextAt(fields.ListAt(template, "spec", "networks")[1].(map[string]any), "multus", "networkName") == "net"
		}},
	} {
		log := testlog.Default(t)
		annotations := "annotations: {" + c.annotations + "}"
		spec := c.spec
		if spec == "" {
			spec = "runStrategy: Halted"
		}
		restore := "{metadata: {name: r, labels: {" + c.restore + "}}}"
		if strings.HasPrefix(c.restore, "}}") {
			restore = "{metadata: {name: r, labels: {" + c.restore + "}}"
		}
		item, result, err := restored(t, "restore-vm-action", strings.NewReplacer("SPEC", spec, "ANNOTATIONS", annotations).Replace(vm), restore)
		if c.err != "" {
			mustRefuse(t, err, true, c.err, "KUBEVIRT_BAD_RESTORE_LABEL", "VirtualMachine shop/web")
			continue
		}
		if err != nil || result.Skip {
			t.Errorf("%s: %v, %v", c.what, result, err)
			continue
		}
		if c.items != nil {
			mustList(t, c.what, short(forms(result.AdditionalItems)), c.items...)
		}
		if c.want != nil && !c.want(fields.MapAt(item.Object, "spec"), fields.MapAt(item.Object, "spec", "template")) {
			t.Errorf("%s: %s", c.what, asYAML(t, item.Object))
		}
		if !strings.Contains(log.String(), c.warns) || c.warns == "" && strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: %s", c.what, log)
		}
		if labels := item.GetLabels(); len(labels) != 1 || labels["app"] != "web" || item.GetAnnotations() != nil && len(item.GetAnnotations()) > 0 {
			t.Errorf("%s: labels %v, annotations %v", c.what, labels, item.GetAnnotations())
		}
	}
}

// A Restore that includes machines only restores what they need if it says so;
// the annotation for it does not stay.
func TestIncludeObjectGraph(t *testing.T) {
	const vm = "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, namespace: shop, annotations: {restore.velero.io/must-include-additional-items: forged}}, spec: {template: {}}}"
	for label, want := range map[string]string{"": "", `velero.kubevirt.io/include-object-graph: "true"`: "true"} {
		item, _, err := restored(t, "restore-vm-action", vm, "{metadata: {labels: {"+label+"}}}")
		if err != nil || fields.Annotation(item, "restore.velero.io/must-include-additional-items") != want {
			t.Errorf("%q: %v, %v", label, item, err)
		}
	}
}

// A machine without a template, or without anything, is restored as it is.
func TestRestoreOddMachines(t *testing.T) {
	for _, spec := range []string{"", "spec: {}", "spec: {template: {}}", "spec: {template: [1]}", "spec: x"} {
		text := "{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, namespace: shop}, " + spec + "}"
		item, _, err := restored(t, "restore-vm-action", text, "{metadata: {labels: {velero.kubevirt.io/network-identity: new}}}")
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		if raw, err := json.Marshal(item.Object); err != nil {
			t.Errorf("%s: %s, %v", spec, raw, err)
		}
	}
}

// The addresses that OVN-Kubernetes keeps for the primary network are recorded.
func TestAddressesAreRecorded(t *testing.T) {
	s := newSite(t)
	s.create(t, `
apiVersion: k8s.cni.cncf.io/v1alpha1
kind: IPAMClaim
metadata: {name: web.primary, labels: {kubevirt.io/vm: web}}
status: {ips: ["10.0.0.5/24", "fd00::5/64"]}
---
apiVersion: k8s.cni.cncf.io/v1alpha1
kind: IPAMClaim
metadata: {name: web.second, labels: {kubevirt.io/vm: web}}
status: {ips: ["10.1.0.5/24"]}`)
	vm := s.create(t, `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, annotations: {velero.kubevirt.io/addresses: forged}}, spec: {template: {spec: {networks: [{name: primary, pod: {}}, {name: second, multus: {networkName: net}}]}}}}`)[0]
	item, _, err := backUp(t, s.actions(), "backup-virtualmachine-action", vm, "")
	if err != nil || fields.Annotation(item, recordedAddressesKey) != `{"primary":["10.0.0.5/24","fd00::5/64"]}` {
		t.Errorf("%v, %v", item, err)
	}
}
