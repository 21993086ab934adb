package main

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

// Whichever of a machine's objects comes first brings all others, and only them.
func TestBlocks(t *testing.T) {
	s := newSite(t)
	log := testlog.Default(t)
	for _, name := range []string{"root", "hot"} {
		s.create(t, claimYAML(name, ""))
	}
	s.create(t, claimYAML("state", "persistent-state-for: web"))
	s.create(t, objectYAML)
	vm := s.create(t, `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: web}
spec: {template: {spec: {networks: [{multus: {networkName: net}}], volumes: [{dataVolume: {name: root}}, {secret: {secretName: s}}, {configMap: {name: c}}, {serviceAccount: {serviceAccountName: sa}}]}}}
status: {created: true, printableStatus: Running}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: other}
spec: {template: {spec: {volumes: [{dataVolume: {name: root2}}]}}}`)[0]
	s.create(t, "apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataVolume\nmetadata: {name: root}\nstatus: {phase: Succeeded}")
	vmi := s.create(t, `
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: web}
spec: {volumes: [{dataVolume: {name: root}}, {persistentVolumeClaim: {claimName: hot}}]}
status: {phase: Running, conditions: [{type: AgentConnected, status: "True"}], volumeStatus: [{hotplugVolume: {attachPodName: hp-volume-1}}]}`)[0]
	launcher := s.create(t, launcherYAML("launcher", `annotations: {kubevirt.io/domain: web, pre.hook.backup.velero.io/command: "[]"}`, `{phase: Running, conditions: [{type: Ready, status: "True"}]}`))[0]
	hotplug := s.create(t, `
apiVersion: v1
kind: Pod
metadata: {name: hp-volume-1, labels: {kubevirt.io: hotplug-disk}, ownerReferences: [{apiVersion: v1, kind: Pod, name: launcher, uid: `+string(launcher.GetUID())+`}]}
spec: {containers: [{name: a, image: a}]}`)[0]
	want := []string{"datavolumes/root", "persistentvolumeclaims/hot", "persistentvolumeclaims/root", "persistentvolumeclaims/state",
		"pods/hp-volume-1", "pods/launcher", "virtualmachineinstances/web", "virtualmachines/web"}
	for action, item := range map[string]*unstructured.Unstructured{
		"block-vm-action": vm, "block-vmi-action": vmi, "block-pod-action": launcher, "block-pod-action ": hotplug,
	} {
		got := short(blockOf(t, s.actions(), strings.TrimSpace(action), item))
		slices.Sort(got)
		mustList(t, action+" of "+item.GetName(), got, want...)
	}
	if n := strings.Count(log.String(), "the file systems of the guest are frozen while its disks are saved"); n != 4 {
		t.Errorf("the state of the guest is logged %d times:\n%s", n, log)
	}
	// A pod of nobody is a block by itself.
	alone := parse(t, "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: "+s.namespace+", labels: {kubevirt.io: hotplug-disk}}}")
	mustList(t, "pod of nobody", blockOf(t, s.actions(), "block-pod-action", alone))
}

// What cannot be looked up is a warning, never an error.
func TestBlockWithoutCluster(t *testing.T) {
	log := testlog.Default(t)
	item := parse(t, "{kind: VirtualMachine, metadata: {name: web, namespace: shop}}")
	a := answering("[")
	mustList(t, "block", blockOf(t, a, "block-vm-action", item))
	mustList(t, "block", blockOf(t, a, "block-pod-action", item))
	if !strings.Contains(log.String(), "may be saved at different moments") || strings.Contains(log.String(), "ERROR") {
		t.Error(log)
	}
}

func TestGuestState(t *testing.T) {
	good := living{exists: true, instance: instance{isRunning: true, hasAgent: true}, hasLauncher: true, launcher: pod{freezes: true, ready: true}}
	for _, c := range []struct {
		what, level, text string
		change            func(*living)
	}{
		{"frozen", "INFO", "are frozen", func(*living) {}},
		{"no agent", "INFO", "no agent", func(l *living) { l.instance.hasAgent = false }},
		{"provisioning", "INFO", "not running", func(l *living) { l.instance.isRunning = false }},
		{"paused", "WARN", "is paused", func(l *living) { l.instance.paused = true }},
		{"migrating", "WARN", "is migrating", func(l *living) { l.instance.migrating = true }},
		{"not ready", "WARN", "is not ready", func(l *living) { l.launcher.ready = false }},
		{"no hooks", "INFO", "no freeze hooks", func(l *living) { l.launcher.freezes = false }},
		{"paused without hooks", "INFO", "no freeze hooks", func(l *living) { l.launcher.freezes, l.instance.paused = false, true }},
		{"no pod", "WARN", "no pod", func(l *living) { l.hasLauncher = false }},
	} {
		l := good
		c.change(&l)
		if level, text := guestState(l); level.String() != c.level || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s %s", c.what, level, text)
		}
	}
}
