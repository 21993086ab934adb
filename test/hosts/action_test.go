package hosts

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// item is what an action sees. The integer is one that floating point numbers
// cannot hold, and Velero knows no such kind.
const item = `{
	"apiVersion": "example.io/v1", "kind": "Order",
	"metadata": {"name": "o1", "namespace": "shop", "annotations": {"example.io/kept": "<&>\u2028"}},
	"spec": {"amount": 9007199254740993, "rate": 0.1, "unknown": {"list": [null, true, "", {}]}}
}`

// edited is an item with changes to its annotations.
func edited(t *testing.T, text string, annotations map[string]string) map[string]any {
	t.Helper()
	object := parse(t, []byte(text))
	in := object["metadata"].(map[string]any)["annotations"].(map[string]any)
	for key, value := range annotations {
		in["example.io/"+key] = value
	}
	return object
}

// parse keeps numbers as they are written.
func parse(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	return object
}

func mustBe(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %.1000v, not %.1000v", what, got, want)
	}
}

// resource is an object's identifier.
type resource struct{ Group, Resource, Namespace, Name string }

// named is a resource of Velero's that has only a name.
func named(name string) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": name}}
}

// arguments is what each release starts plugins with.
func arguments(h *host) string {
	if h.release < withItemBlocks {
		return "--log-level debug --features EnableCSI,EnableExample"
	}
	return strings.Join(append([]string{"--plugin-dir=" + h.plugins}, serverFlags...), " ")
}

func TestSelector(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		kinds := h.mustDiscover()
		type selector struct {
			IncludedNamespaces, ExcludedNamespaces, IncludedResources, ExcludedResources []string
			LabelSelector                                                                string
		}
		for kind := range kinds {
			if !strings.Contains(kind, "Action") {
				continue
			}
			var got selector
			h.plugin(kind, "example.io/stamp").mustCall("AppliesTo", nil, &got)
			mustBe(t, kind, got, selector{
				[]string{"shop"}, []string{"kube-*"}, []string{"configmaps"}, []string{"secrets"}, "app in (a, b),!c",
			})
		}
	})
}

func TestBackupAction(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		action := h.plugin("BackupItemAction", "example.io/stamp")
		// Larger than what a gRPC server accepts unless it is told to.
		large := strings.Replace(item, `"rate"`, `"text": "`+strings.Repeat("x", 5<<20)+`", "rate"`, 1)
		for _, text := range []string{item, large} {
			var changed json.RawMessage
			var additional []resource
			action.mustCall("Execute", []any{json.RawMessage(text), named("nightly")}, &changed, &additional)
			mustBe(t, "item", parse(t, changed), edited(t, text, map[string]string{
				"arguments": arguments(h), "backup": "nightly",
			}))
			mustBe(t, "additional items", additional, []resource{{"", "secrets", "shop", "o1"}})
		}
		refused := edited(t, item, map[string]string{"fail": "yes"})
		action.mustFail("Execute", []any{refused, named("nightly")}, "o1 is not to be backed up")
	})
}

func TestRestoreAction(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		action := h.plugin("RestoreItemAction", "example.io/stamp")
		before := strings.Replace(item, `"o1"`, `"o0"`, 1)
		before = strings.Replace(before, `"rate"`, `"text": "`+strings.Repeat("x", 5<<20)+`", "rate"`, 1)
		for _, skip := range []bool{false, true} {
			changes := map[string]string{}
			if skip {
				changes["skip"] = "yes"
			}
			var output struct {
				UpdatedItem     json.RawMessage
				AdditionalItems []resource
				SkipRestore     bool
			}
			action.mustCall("Execute", []any{map[string]any{
				"Item": edited(t, item, changes), "ItemFromBackup": json.RawMessage(before), "Restore": named("monday"),
			}}, &output)
			changes["restore"], changes["from"] = "monday", "o0"
			mustBe(t, "item", parse(t, output.UpdatedItem), edited(t, item, changes))
			mustBe(t, "additional items", output.AdditionalItems, []resource{{"", "secrets", "shop", "o1"}})
			mustBe(t, "skip", output.SkipRestore, skip)
		}
	})
}

func TestDeleteAction(t *testing.T) {
	inEachRelease(t, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		input := map[string]any{"Item": json.RawMessage(item), "Backup": named("nightly")}
		h.plugin("DeleteItemAction", "example.io/stamp").mustFail("Execute", []any{input}, "o1 of nightly is kept")
	})
}

func TestItemBlockAction(t *testing.T) {
	since(t, withItemBlocks, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		var related []resource
		action := h.plugin("ItemBlockAction", "example.io/stamp")
		action.mustCall("GetRelatedItems", []any{json.RawMessage(item), named("nightly")}, &related)
		mustBe(t, "related items", related, []resource{{"", "secrets", "shop", "o1"}})
	})
}

// progress is the state of an operation.
type progress struct {
	Completed                        bool
	Err, OperationUnits, Description string
	NCompleted, NTotal               int64
	Started, Updated                 time.Time
}

// TestAdaptedActions takes actions of version 1 for those of version 2, as
// Velero does.
func TestAdaptedActions(t *testing.T) {
	since(t, withOperations, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, actions)
		h.mustDiscover()
		var changed json.RawMessage
		var operation string
		backup := h.plugin("BackupItemActionV2", "example.io/stamp")
		backup.mustCall("Execute", []any{json.RawMessage(item), named("nightly")}, &changed, nil, &operation, nil)
		mustBe(t, "item", parse(t, changed), edited(t, item, map[string]string{"arguments": arguments(h), "backup": "nightly"}))
		mustBe(t, "operation", operation, "")
		backup.mustFail("Progress", []any{"o", named("nightly")}, "does not support asynchronous operations")
		backup.mustCall("Cancel", []any{"o", named("nightly")})

		var ready bool
		restore := h.plugin("RestoreItemActionV2", "example.io/stamp")
		restore.mustCall("AreAdditionalItemsReady", []any{[]resource{}, named("monday")}, &ready)
		mustBe(t, "ready", ready, true)
	})
}

func TestOperations(t *testing.T) {
	since(t, withOperations, func(t *testing.T, release tools.VeleroRelease) {
		h := start(t, release, operations)
		h.mustDiscover()
		archive := []resource{{"example.io", "archives", "shop", "o1"}}

		backup := h.plugin("BackupItemActionV2", "example.io/export")
		var unchanged json.RawMessage
		var operation string
		var later []resource
		backup.mustCall("Execute", []any{json.RawMessage(item), named("nightly")}, &unchanged, nil, &operation, &later)
		mustBe(t, "item", parse(t, unchanged), edited(t, item, nil))
		mustBe(t, "operation", operation, "export of o1")
		mustBe(t, "items after the operation", later, archive)
		// Velero asks from new processes.
		h.endTask()
		var state progress
		backup.mustCall("Progress", []any{operation, named("nightly")}, &state)
		begin := time.Date(2024, time.February, 29, 12, 0, 0, 123456789, time.UTC)
		mustBe(t, "progress", state, progress{
			NCompleted: 1<<53 + 1, NTotal: 1<<53 + 3, OperationUnits: "bytes", Description: operation,
			Started: begin, Updated: begin.Add(time.Minute),
		})
		backup.mustFail("Cancel", []any{operation, named("nightly")}, "export of o1 is done already")

		restore := h.plugin("RestoreItemActionV2", "example.io/import")
		var output struct {
			AdditionalItems             []resource
			OperationID                 string
			WaitForAdditionalItems      bool
			AdditionalItemsReadyTimeout time.Duration
		}
		restore.mustCall("Execute", []any{map[string]any{
			"Item": json.RawMessage(item), "ItemFromBackup": json.RawMessage(item), "Restore": named("monday"),
		}}, &output)
		mustBe(t, "additional items", output.AdditionalItems, archive)
		mustBe(t, "operation", output.OperationID, "import of o1")
		mustBe(t, "wait", output.WaitForAdditionalItems, true)
		mustBe(t, "timeout", output.AdditionalItemsReadyTimeout, 90*time.Second)
		for _, items := range [][]resource{nil, archive} {
			var ready bool
			restore.mustCall("AreAdditionalItemsReady", []any{items, named("monday")}, &ready)
			mustBe(t, "ready", ready, items != nil)
		}
		state = progress{}
		restore.mustCall("Progress", []any{output.OperationID, named("monday")}, &state)
		mustBe(t, "completed", state.Completed, true)
		mustBe(t, "failure", state.Err, "import of o1 has failed")
		restore.mustCall("Cancel", []any{output.OperationID, named("monday")})
	})
}
