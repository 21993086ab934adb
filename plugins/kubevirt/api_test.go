package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// fixtures are objects with a value in every field, as KubeVirt's API module has
// them for its own tests.
func fixtures(t *testing.T) []string {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "kubevirt.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(folder)), "apitesting/testdata/*/kubevirt.io.v1.VirtualMachine*.json"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("fixtures %v, %v", paths, err)
	}
	return paths
}

// Of an object with every field, and one of a later release, no action changes
// anything but what the specification of the action says.
func TestFieldsSurvive(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	for _, path := range fixtures(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		item := parse(t, string(raw))
		item.SetNamespace(s.namespace)
		setPath(item.Object, []string{"spec", "inventedLater", "field"}, "kept")
		if err := unstructured.SetNestedField(item.Object, int64(9007199254740993), "spec", "inventedNumber"); err != nil {
			t.Fatal(err)
		}
		for _, row := range s.actions().table() {
			if !strings.HasPrefix(strings.ToLower(item.GetKind())+"s.", firstOf(row.selector.IncludedResources)[:strings.Index(firstOf(row.selector.IncludedResources)+".", ".")]+".") {
				continue
			}
			before, edited := item.DeepCopy(), item.DeepCopy()
			var err error
			switch do := row.do.(type) {
			case backupFunc:
				_, err = do.run(t.Context(), sdk.BackupInput{Item: edited, Backup: newBackup(t, "{metadata: {uid: u, labels: {velero.kubevirt.io/metadataBackup: x}}}")})
			case restoreFunc:
				item, marshalErr := json.Marshal(item.Object)
				if marshalErr != nil {
					t.Fatal(marshalErr)
				}
				_, err = do.run(t.Context(), sdk.RestoreInput{Item: edited, FromBackup: sdk.NewDocument(item), Restore: sdk.NewRestore([]byte("{}"))})
			case blockFunc:
				_, err = do.run(t.Context(), sdk.RelatedItemsInput{Item: edited, Backup: newBackup(t, "")})
			}
			if err != nil {
				t.Errorf("%s with %s: %v", row.name, path, err)
			}
			for _, o := range []*unstructured.Unstructured{before, edited} {
				for _, field := range [][]string{
					{"metadata", "labels"}, {"metadata", "annotations"},
					{"spec", "instancetype", "revisionName"}, {"spec", "preference", "revisionName"},
				} {
					unstructured.RemoveNestedField(o.Object, field...)
				}
			}
			mustEqual(t, row.name+" with "+path, edited, before)
		}
	}
}

func firstOf(list []string) string { return list[0] }

// Two hundred machines with four disks each cost a few requests for each
// namespace, and not several for each machine.
func TestRequestsOfBackup(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	const machines, disks = 200, 4
	var wait sync.WaitGroup
	a := s.actions()
	s.sent.Take()
	for i := range machines {
		wait.Go(func() {
			name := "web-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			vm := parse(t, s.in("{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: "+name+", namespace: NS, uid: x}, spec: {template: {spec: {}}}, status: {created: true, printableStatus: Running}}"))
			if _, _, err := backUp(t, a, "backup-virtualmachine-action", vm, ""); err != nil {
				t.Error(err)
			}
			blockOf(t, a, "block-vm-action", vm)
			for range disks {
				pvc := parse(t, s.in("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p, namespace: NS, uid: x}}"))
				if _, _, err := backUp(t, a, "backup-pvc-action", pvc, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if sent := s.sent.Take(); len(sent) > 12 {
		t.Errorf("%d machines took %d requests: %v", machines, len(sent), sent)
	}
}
