package main

import (
	"strings"
	"testing"
)

func TestVolumes(t *testing.T) {
	const oadp = `{metadata: {name: r}}`
	migration := func(annotations, labels string) string {
		return `{metadata: {name: r, annotations: {` + annotations + `}, labels: {app.kubernetes.io/part-of: openshift-migration` + labels + `}}}`
	}
	stageRun := migration("migration.openshift.io/migmigration-type: stage", ", migration-stage-restore: x")
	item := func(annotations, spec string) string {
		return `{kind: PersistentVolume, metadata: {name: a, annotations: {` + annotations + `}}, spec: {` + spec + `}}`
	}
	const copied = "openshift.io/migrate-type: copy, openshift.io/target-storage-class: fast, openshift.io/target-access-mode: ReadWriteMany"
	const snapshot = ", migration.openshift.io/copy-method: snapshot"
	const beta = ", volume.beta.kubernetes.io/storage-class: slow"
	restoreCases(t, offline(t), "03-pv-restore", []restoreCase{
		{what: "OADP", restore: oadp, item: item(copied, "storageClassName: slow")},
		{what: "moved", restore: migration("", ""), item: item("openshift.io/migrate-type: move", "storageClassName: slow")},
		{what: "copied", restore: migration("", ""), item: item(copied, "storageClassName: slow"), want: item(copied, "storageClassName: fast")},
		{what: "copied, old annotation", restore: migration("", ""), item: item(copied+beta, ""),
			want: item(copied+strings.Replace(beta, "slow", "fast", 1), "storageClassName: fast")},
		{what: "copied, no class", restore: migration("", ""), item: item("openshift.io/migrate-type: copy", "storageClassName: slow"),
			want: item("openshift.io/migrate-type: copy", `storageClassName: ""`)},
		{what: "stage, snapshot", restore: stageRun, item: item(copied+snapshot, ""), skip: true},
		{what: "stage, files", restore: stageRun, item: item(copied, ""), want: item(copied, "storageClassName: fast")},
		{what: "final, snapshot", restore: migration("migration.openshift.io/migmigration-type: final", ", migration-stage-restore: x"),
			item: item(copied+snapshot, ""), want: item(copied+snapshot, "storageClassName: fast")},
	})
	const node = ", volume.kubernetes.io/selected-node: n"
	restoreCases(t, offline(t), "04-pvc", []restoreCase{
		{what: "OADP", restore: oadp, item: item(copied+node, "selector: {a: b}")},
		{what: "copied", restore: migration("", ""),
			item: item(copied+node, "selector: {a: b}, accessModes: [ReadWriteOnce], volumeName: v"),
			want: item(copied, "storageClassName: fast, accessModes: [ReadWriteMany], volumeName: v")},
		{what: "moved", restore: migration("", ""), item: item("openshift.io/migrate-type: move"+node, "selector: {a: b}"),
			want: item("openshift.io/migrate-type: move", "selector: {a: b}")},
		{what: "stage, snapshot", restore: stageRun, item: item(copied+snapshot, ""), skip: true},
	})
}
