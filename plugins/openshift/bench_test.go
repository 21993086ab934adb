package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// plainAnswer is that of a cluster without OpenShift.
const plainAnswer = `{"major": "1", "minor": "31", "groups": [{"name": "apps"}]}`

// mixed returns item i of a namespace with everything, and the actions for it.
func mixed(i int) (json string, actions []string) {
	all := []struct {
		json    string
		actions string
	}{
		{`{"kind": "Secret", "metadata": {"name": "s%d", "namespace": "shop"}, "data": {"a": "Yg=="}}`, "18-secret-restore"},
		{`{"kind": "ConfigMap", "metadata": {"name": "c%d", "namespace": "shop"}, "data": {"a": "b"}}`, "25-configmap-backup 25-configmap-restore"},
		{`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d%d", "namespace": "shop"}, "spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}}`,
			"01-common-backup 01-common-restore 13-deployment-restore 27-image-trigger-restore"},
		{`{"kind": "Pod", "metadata": {"name": "p%d", "namespace": "shop"}, "spec": {"containers": [{"image": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}}`,
			"01-common-backup 07-pod-backup 01-common-restore 07-pod-restore"},
		{`{"kind": "ServiceAccount", "metadata": {"name": "a%d", "namespace": "shop"}, "imagePullSecrets": [{"name": "x"}]}`, "02-serviceaccount-backup 02-serviceaccount-restore"},
	}
	one := all[i%len(all)]
	return fmt.Sprintf(one.json, i), strings.Fields(one.actions)
}

// handle runs the actions of an item as calls of Velero would.
func handle(tb testing.TB, byName map[string]sdk.Applier, i int, backup sdk.Backup, restore sdk.Restore) {
	text, names := mixed(i)
	for _, name := range names {
		item, err := sdk.NewDocument([]byte(text)).Object()
		if err != nil {
			tb.Fatal(err)
		}
		switch a := byName[name].(type) {
		case sdk.BackupItemAction:
			_, err = a.Backup(tb.Context(), sdk.BackupInput{Item: item, Backup: backup})
		case sdk.RestoreItemAction:
			_, err = a.Restore(tb.Context(), sdk.RestoreInput{Item: item, FromBackup: sdk.NewDocument([]byte(text)), Restore: restore})
		default:
			tb.Fatalf("there is no action %s", name)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func newNamespace(tb testing.TB) (map[string]sdk.Applier, sdk.Backup, sdk.Restore) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	tb.Cleanup(func() { slog.SetDefault(before) })
	byName := map[string]sdk.Applier{}
	for _, action := range newActions(answering(plainAnswer)).table() {
		byName[strings.TrimSuffix(action.name, "-plugin")] = action.implementation
	}
	owner := json.RawMessage(`{"metadata": {"name": "b", "uid": "u"}}`)
	return byName, sdk.NewBackup(owner), sdk.NewRestore(owner)
}

// BenchmarkItems is one item of a mixed namespace, with all of its actions.
func BenchmarkItems(b *testing.B) {
	byName, backup, restore := newNamespace(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		handle(b, byName, i, backup, restore)
	}
}

// What is kept does not grow with the number of items.
func TestMemoryIsFlat(t *testing.T) {
	byName, backup, restore := newNamespace(t)
	after := func(from, to int) uint64 {
		for i := from; i < to; i++ {
			handle(t, byName, i, backup, restore)
		}
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	const slack = 256 << 10
	if few, many := after(0, 1000), after(1000, 10_000); many > few+slack {
		t.Errorf("%d bytes are kept after 1,000 items, %d after 10,000", few, many)
	}
}
