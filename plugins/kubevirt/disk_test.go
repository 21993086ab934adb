package main

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestBackUpDataVolume(t *testing.T) {
	s := newSite(t)
	s.create(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: login}")
	for _, c := range []struct {
		what, metadata, status, want string
		items                        []string
	}{
		{what: "succeeded", status: "phase: Succeeded", want: "NAME", items: []string{"persistentvolumeclaims/NAME"}},
		{what: "another claim", status: "phase: Succeeded, claimName: other", want: "other", items: []string{"persistentvolumeclaims/other"}},
		{what: "restored before", metadata: "annotations: {cdi.kubevirt.io/storage.prePopulated: older}", status: "phase: Succeeded", want: "older", items: []string{"persistentvolumeclaims/older"}},
		{what: "no phase"},
		{what: "importing", status: "phase: ImportInProgress", items: []string{"secrets/login"}},
		{what: "waiting", status: "phase: WaitForFirstConsumer", items: []string{"secrets/login"}},
	} {
		name := strings.ReplaceAll(c.what, " ", "-")
		source := ""
		if c.items != nil {
			source = "source: {http: {secretRef: login, certConfigMap: absent}}"
		}
		dv := s.create(t, "{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: "+name+", "+c.metadata+"}, spec: {"+source+"}, status: {"+c.status+"}}")[0]
		item, items, err := backUp(t, s.actions(), "backup-datavolume-action", dv, "")
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := fields.Annotation(item, "cdi.kubevirt.io/storage.prePopulated"); got != strings.Replace(c.want, "NAME", name, 1) {
			t.Errorf("%s: prePopulated is %q", c.what, got)
		}
		var want []string
		for _, text := range c.items {
			want = append(want, strings.Replace(text, "NAME", name, 1))
		}
		mustList(t, c.what, short(items), want...)
	}
}

func TestBackUpClaimOfDataVolume(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	s.create(t, `
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: done}
status: {phase: Succeeded}
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: busy}
status: {phase: CloneInProgress}`)
	const populated, inProgress = "cdi.kubevirt.io/storage.populatedFor", "kvp.kubevirt.io/storage.inprogress"
	owner := func(version, kind, name string) string {
		return "ownerReferences: [{apiVersion: " + version + ", kind: " + kind + ", name: " + name + "}]"
	}
	for _, c := range []struct{ what, metadata, key, value string }{
		{"succeeded", owner("cdi.kubevirt.io/v1beta1", "DataVolume", "done"), populated, "done"},
		{"in progress", owner("cdi.kubevirt.io/v1beta1", "DataVolume", "busy"), inProgress, "busy"},
		{"volume is gone", owner("cdi.kubevirt.io/v1beta1", "DataVolume", "gone"), "", ""},
		{"another group", owner("example.io/v1", "DataVolume", "done"), "", ""},
		{"another kind", owner("apps/v1", "StatefulSet", "done"), "", ""},
		{"no owner", "labels: {}", "", ""},
		{"prime claim", owner("v1", "PersistentVolumeClaim", "done") + ", name: prime-123", inProgress, "prime-123"},
		{"scratch claim", owner("v1", "PersistentVolumeClaim", "done") + ", annotations: {cdi.kubevirt.io/storage.populator.kind: VolumeImportSource}", inProgress, "pvc"},
		{"claim of a claim", owner("v1", "PersistentVolumeClaim", "done"), "", ""},
	} {
		pvc := parse(t, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: pvc, namespace: "+s.namespace+", "+c.metadata+"}}")
		if strings.Contains(c.metadata, "name: prime-123") {
			pvc.SetName("prime-123")
		}
		want := pvc.DeepCopy()
		if c.key != "" {
			fields.Annotate(want, c.key, c.value)
		}
		item, items, err := backUp(t, s.actions(), "backup-datavolume-action", pvc, "")
		if err != nil || items != nil {
			t.Errorf("%s: %v, %v", c.what, items, err)
		}
		mustEqual(t, c.what, item, want)
	}
	// CDI may have finished since the list was read.
	a := s.actions()
	pvc := parse(t, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: pvc, namespace: "+s.namespace+", "+owner("cdi.kubevirt.io/v1beta1", "DataVolume", "busy")+"}}")
	if item, _, err := backUp(t, a, "backup-datavolume-action", pvc, ""); err != nil || !fields.HasAnnotation(item, inProgress) {
		t.Fatal(item, err)
	}
	s.setPhase(t, "busy", "Succeeded")
	if item, _, err := backUp(t, a, "backup-datavolume-action", pvc, ""); err != nil || fields.Annotation(item, populated) != "busy" || fields.HasAnnotation(item, inProgress) {
		t.Error(item, err)
	}
}

func (s site) setPhase(t *testing.T, name, phase string) {
	t.Helper()
	dv := s.get(t, "cdi.kubevirt.io/v1beta1", "DataVolume", name)
	setPath(dv.Object, []string{"status", "phase"}, phase)
	if _, err := s.resource(t, dv).UpdateStatus(t.Context(), dv, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A claim, and a snapshot of it, carry the UID of the claim and come back as they
// were.
func TestClaimUID(t *testing.T) {
	s := newSite(t)
	claim := s.create(t, claimYAML("root", ""))[0]
	uid := string(claim.GetUID())
	for _, labels := range []string{"", "app: web", "velero.kubevirt.io/pvc-uid: mine, app: web", "velero.kubevirt.io/pvc-uid: " + uid} {
		for _, c := range []struct{ kind, backup, restore, saved string }{
			{"PersistentVolumeClaim", "backup-pvc-action", "restore-pvc-action", "velero.kubevirt.io/original-pvc-uid"},
			{"VolumeSnapshot", "backup-volumesnapshot-action", "restore-volumesnapshot-action", "velero.kubevirt.io/original-volumesnapshot-uid"},
		} {
			item := parse(t, "{apiVersion: v1, kind: "+c.kind+", metadata: {name: root, namespace: "+s.namespace+", uid: "+uid+", labels: {"+labels+"}}, spec: {source: {persistentVolumeClaimName: root}}}")
			if labels == "" {
				unstructured.RemoveNestedField(item.Object, "metadata", "labels")
			}
			archived, _, err := backUp(t, s.actions(), c.backup, item, "")
			if err != nil || fields.Label(archived, "velero.kubevirt.io/pvc-uid") != uid {
				t.Errorf("%s, %q: %v, %v", c.kind, labels, archived, err)
			}
			mine, ok := item.GetLabels()["velero.kubevirt.io/pvc-uid"]
			if fields.HasAnnotation(archived, c.saved) != ok || fields.Annotation(archived, c.saved) != mine {
				t.Errorf("%s, %q: saved %v", c.kind, labels, archived.GetAnnotations())
			}
			back, result, err := restored(t, c.restore, asYAML(t, archived.Object), "")
			unstructured.RemoveNestedField(item.Object, "metadata", "uid")
			if err != nil || result.Skip {
				t.Errorf("%s, %q: %v, %v", c.kind, labels, result, err)
			}
			mustEqual(t, c.kind+" "+labels, back, item)
		}
	}
	for what, c := range map[string]struct{ action, text string }{
		"claim without UID":      {"backup-pvc-action", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: root, namespace: NS}}"},
		"snapshot of a content":  {"backup-volumesnapshot-action", "{apiVersion: v1, kind: VolumeSnapshot, metadata: {name: s, namespace: NS}, spec: {source: {volumeSnapshotContentName: c}}}"},
		"snapshot of no claim":   {"backup-volumesnapshot-action", "{apiVersion: v1, kind: VolumeSnapshot, metadata: {name: s, namespace: NS}, spec: {source: {persistentVolumeClaimName: gone}}}"},
		"snapshot without spec":  {"backup-volumesnapshot-action", "{apiVersion: v1, kind: VolumeSnapshot, metadata: {name: s, namespace: NS}}"},
		"claim of a golden disk": {"backup-datavolume-action", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: fedora-0123, namespace: NS, labels: {cdi.kubevirt.io/dataImportCron: fedora}, annotations: {cdi.kubevirt.io/storage.import.lastUseTime: "2026-01-01T00:00:00Z"}}}`},
	} {
		item := parse(t, s.in(c.text))
		got, _, err := backUp(t, s.actions(), c.action, item, "")
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		mustEqual(t, what, got, item)
	}
}

// The disks of a machine are labelled with it; those that two machines share are
// not, and the labels go when the disk is restored.
func TestDisksOfMachine(t *testing.T) {
	s := newSite(t)
	log := testlog.Default(t)
	long := strings.Repeat("web-", 16) + "1" // 65 characters
	vms := s.create(t, `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: `+long+`}
spec: {template: {spec: {volumes: [{name: a, dataVolume: {name: root}}, {name: b, persistentVolumeClaim: {claimName: shared}}]}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: db}
spec: {template: {spec: {volumes: [{name: b, persistentVolumeClaim: {claimName: shared}}]}}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: alone}
spec: {volumes: [{name: b, persistentVolumeClaim: {claimName: single}}]}`)
	uid := string(vms[0].GetUID())
	name := velero.LabelValue(long)
	if len(name) != 63 || !strings.HasPrefix(name, long[:57]) {
		t.Errorf("label value %q", name)
	}
	for _, c := range []struct{ kind, claim, labels, wantName, wantUID string }{
		{"PersistentVolumeClaim", "root", "", name, uid},
		{"DataVolume", "root", "", name, uid},
		{"PersistentVolumeClaim", "state", "persistent-state-for: db", "db", string(vms[1].GetUID())},
		{"PersistentVolumeClaim", "single", "", "alone", string(vms[2].GetUID())},
		{"PersistentVolumeClaim", "shared", "", "", ""},
		{"PersistentVolumeClaim", "other", "", "", ""},
		{"PersistentVolumeClaim", "state", "persistent-state-for: gone", "", ""},
	} {
		item := parse(t, "{apiVersion: v1, kind: "+c.kind+", metadata: {name: "+c.claim+", namespace: "+s.namespace+", uid: x, labels: {"+c.labels+"}}}")
		action, restore := "backup-pvc-action", "restore-pvc-action"
		if c.kind == "DataVolume" {
			action, restore = "backup-datavolume-action", "restore-datavolume-action"
		}
		archived, _, err := backUp(t, s.actions(), action, item, "")
		if err != nil || fields.Label(archived, "velero.kubevirt.io/vm-name") != c.wantName || fields.Label(archived, "velero.kubevirt.io/vm-uid") != c.wantUID {
			t.Errorf("%s %s: %v, %v", c.kind, c.claim, archived.GetLabels(), err)
		}
		back, _, err := restored(t, restore, asYAML(t, archived.Object), "")
		if labels := back.GetLabels(); err != nil || len(labels) != strings.Count(c.labels, ":") || labels["persistent-state-for"] != fields.Label(item, "persistent-state-for") {
			t.Errorf("%s %s: restored with %v, %v", c.kind, c.claim, back.GetLabels(), err)
		}
	}
	if !strings.Contains(log.String(), "has the state of a virtual machine that does not exist") {
		t.Error(log)
	}
}

func TestRestoreClaim(t *testing.T) {
	const owned = "ownerReferences: [{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, name: root}]"
	for _, c := range []struct {
		what, metadata, spec, phase, restore string
		skip                                 bool
		keeps                                []string // fields of spec
		populatedFor, warns                  string
	}{
		{what: "in progress", metadata: "annotations: {kvp.kubevirt.io/storage.inprogress: root}", skip: true},
		{what: "plain", spec: "dataSource: {kind: PersistentVolumeClaim, name: a}", phase: "Bound", keeps: []string{"dataSource"}},
		{what: "CDI source", spec: "dataSource: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: a}, dataSourceRef: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: a}", phase: "Bound", warns: "VolumeImportSource a"},
		{what: "snapshot of CDI", spec: "dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: cdi-tmp-1}", phase: "Bound", warns: "VolumeSnapshot cdi-tmp-1"},
		{what: "snapshot of a user", spec: "dataSourceRef: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: mine}", phase: "Bound", keeps: []string{"dataSourceRef"}},
		{what: "not filled yet", spec: "dataSourceRef: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: a}", phase: "Pending", keeps: []string{"dataSourceRef"}},
		{what: "without the plugin", metadata: owned, phase: "Bound", populatedFor: "root", warns: "has no CSI snapshot"},
		{what: "with a snapshot", metadata: owned + ", annotations: {velero.io/volume-snapshot-name: s}", phase: "Bound", populatedFor: "root"},
		{what: "with an upload", metadata: owned + ", annotations: {velero.io/data-upload-name: s}", phase: "Bound", populatedFor: "root"},
		{what: "another data mover", metadata: owned + ", annotations: {kubevirt-datamover.io/x: s}", phase: "Bound", populatedFor: "root"},
		{what: "pending", metadata: owned, phase: "Pending"},
		{what: "state without its machine", metadata: "labels: {persistent-state-for: web}", phase: "Bound", restore: "{spec: {excludedResources: [vm]}}", warns: "without the machine"},
		{what: "state with its machine", metadata: "labels: {persistent-state-for: web}", phase: "Bound", restore: "{spec: {includedResources: [pvc, vms]}}"},
	} {
		log := testlog.Default(t)
		item, result, err := restored(t, "restore-pvc-action", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: root, namespace: shop, "+c.metadata+"}, spec: {accessModes: [ReadWriteOnce], "+c.spec+"}, status: {phase: "+c.phase+"}}", c.restore)
		if err != nil || result.Skip != c.skip {
			t.Errorf("%s: %v, %v", c.what, result, err)
		}
		if c.skip {
			continue
		}
		spec := fields.MapAt(item.Object, "spec")
		if len(spec) != 1+len(c.keeps) {
			t.Errorf("%s: spec %v", c.what, spec)
		}
		if got := fields.Annotation(item, populatedForKey); got != c.populatedFor {
			t.Errorf("%s: populatedFor %q", c.what, got)
		}
		if fields.Label(item, stateForLabel) != "" != strings.Contains(c.metadata, "persistent-state-for") {
			t.Errorf("%s: labels %v", c.what, item.GetLabels())
		}
		if !strings.Contains(log.String(), c.warns) || c.warns == "" && strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: %s", c.what, log)
		}
	}
}
