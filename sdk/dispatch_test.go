package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// action is an action whose parts a test supplies.
type action struct {
	edit   func(*unstructured.Unstructured)
	backup func(Backup) (BackupResult, error)
	result RestoreResult
}

func (a action) AppliesTo(context.Context, AppliesToInput) (Selector, error) {
	return Selector{IncludedResources: []string{"pods"}, LabelSelector: "a=b"}, nil
}

func (a action) Backup(_ context.Context, in BackupInput) (BackupResult, error) {
	if a.edit != nil {
		a.edit(in.Item)
	}
	if a.backup != nil {
		return a.backup(in.Backup)
	}
	return BackupResult{}, nil
}

func (a action) Restore(_ context.Context, in RestoreInput) (RestoreResult, error) {
	if a.edit != nil {
		a.edit(in.Item)
	}
	return a.result, nil
}

// operating is an action with operations.
type operating struct{ action }

func (operating) BackupProgress(_ context.Context, in BackupOperation) (Progress, error) {
	return Progress{Completed: in.ID == "done", Started: time.Unix(5, 0)}, nil
}
func (operating) CancelBackup(_ context.Context, in BackupOperation) (CancelResult, error) {
	return CancelResult{}, errors.New("cancel " + in.ID)
}
func (operating) RestoreProgress(context.Context, RestoreOperation) (Progress, error) {
	return Progress{}, nil
}
func (operating) CancelRestore(context.Context, RestoreOperation) (CancelResult, error) {
	return CancelResult{}, nil
}
func (operating) ItemsReady(_ context.Context, in ItemsReadyInput) (ItemsReadyResult, error) {
	return ItemsReadyResult{Ready: len(in.Items) == 1 && in.Items[0].Name == "ready"}, nil
}

// constant returns a constructor of an existing value.
func constant[T any](value T) func(Host) (T, error) {
	return func(Host) (T, error) { return value, nil }
}

const item1 = `{ "kind":"Pod", "metadata":{"name":"a"}, "big":9007199254740993, "f": 1.50 }`

func backupOnce(t *testing.T, a BackupItemAction, raw string) (*abi.BackupItemResponse, error) {
	t.Helper()
	p := New("p", "v")
	return p.backupItem(t.Context(), a, &abi.BackupItemRequest{Plugin: "x/y", Item: []byte(raw), Backup: []byte(`{"metadata":{"name":"b"}}`)})
}

func TestUnchangedItemsKeepTheirBytes(t *testing.T) {
	got, err := backupOnce(t, action{}, item1)
	if err != nil || string(got.Item) != item1 {
		t.Errorf("got %s, %v", got.GetItem(), err)
	}
	got, err = backupOnce(t, action{edit: func(u *unstructured.Unstructured) { u.SetName("b") }}, item1)
	if err != nil || !strings.Contains(string(got.Item), `"name":"b"`) || !strings.Contains(string(got.Item), "9007199254740993") || !strings.Contains(string(got.Item), "1.50") {
		t.Errorf("got %s, %v", got.GetItem(), err)
	}
}

func TestItemsWithoutKind(t *testing.T) {
	for _, raw := range []string{"", "{}", "null", `{"kind":7}`, `{"kind":""}`, "[", `"Pod"`} {
		if got, err := backupOnce(t, action{}, raw); err == nil {
			t.Errorf("%q: got %s", raw, got.GetItem())
		}
	}
	if got, err := backupOnce(t, action{edit: func(u *unstructured.Unstructured) { delete(u.Object, "kind") }}, item1); err == nil {
		t.Errorf("an action removed the kind: got %s", got.GetItem())
	}
}

func TestOperationsNeedTheAbility(t *testing.T) {
	begin := action{backup: func(Backup) (BackupResult, error) { return BackupResult{OperationID: "o"}, nil }}
	if _, err := backupOnce(t, begin, item1); err == nil {
		t.Error("an operation without progress was begun")
	}
	if got, err := backupOnce(t, operating{begin}, item1); err != nil || got.OperationId != "o" {
		t.Errorf("got %v, %v", got, err)
	}
	p := New("p", "v")
	if _, err := p.backupProgress(t.Context(), action{}, &abi.OperationRequest{OperationId: "o", Owner: []byte("{}")}); fmt.Sprint(err) != "Plugin does not support asynchronous operations" {
		t.Errorf("progress of an action without operations: %v", err)
	}
	if _, err := p.backupProgress(t.Context(), operating{}, &abi.OperationRequest{}); err == nil {
		t.Error("progress of no operation")
	}
	got, err := p.backupProgress(t.Context(), operating{}, &abi.OperationRequest{OperationId: "done", Owner: []byte("{}")})
	if err != nil || !got.GetProgress().GetCompleted() || got.Progress.Started.AsTime().Unix() != 5 || got.Progress.Updated != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := p.cancelBackup(t.Context(), action{}, &abi.OperationRequest{OperationId: "o", Owner: []byte("{}")}); err != nil {
		t.Errorf("cancel of an action without operations: %v", err)
	}
	if _, err := p.cancelBackup(t.Context(), operating{}, &abi.OperationRequest{OperationId: "o", Owner: []byte("{}")}); fmt.Sprint(err) != "cancel o" {
		t.Errorf("cancel: %v", err)
	}
}

func TestRestoreAnswers(t *testing.T) {
	p := New("p", "v")
	request := &abi.RestoreItemRequest{Plugin: "x/y", Item: []byte(item1), Restore: []byte(`{}`), ItemFromBackup: []byte(item1)}
	wait := RestoreResult{
		Skip: true, WaitForAdditionalItems: true, AdditionalItemsTimeout: 3 * time.Second,
		AdditionalItems: []ResourceIdentifier{{"g", "r", "ns", "n"}},
	}
	if _, err := p.restoreItem(t.Context(), action{result: wait}, request); err == nil {
		t.Error("an action that cannot tell readiness waits")
	}
	got, err := p.restoreItem(t.Context(), operating{action{result: wait}}, request)
	if err != nil || !got.SkipRestore || !got.WaitForAdditionalItems || got.AdditionalItemsReadyTimeout.AsDuration() != 3*time.Second {
		t.Fatalf("got %v, %v", got, err)
	}
	if id := got.AdditionalItems[0]; id.Group != "g" || id.Resource != "r" || id.Namespace != "ns" || id.Name != "n" {
		t.Errorf("got %v", id)
	}
	ready, err := p.itemsReady(t.Context(), operating{}, &abi.ItemsReadyRequest{Restore: []byte("{}"), AdditionalItems: []*abi.ResourceIdentifier{{Name: "ready"}}})
	if err != nil || !ready.Ready {
		t.Errorf("got %v, %v", ready, err)
	}
	if ready, err := p.itemsReady(t.Context(), action{}, &abi.ItemsReadyRequest{}); err != nil || !ready.Ready {
		t.Errorf("an action without readiness: %v, %v", ready, err)
	}
}

func TestList(t *testing.T) {
	p := New("p", "v")
	p.ObjectStore("a.b/store", constant[ObjectStore](&heap{}))
	p.BackupItemAction("a.b/plain", constant[BackupItemAction](action{}))
	p.BackupItemAction("a.b/async", constant[BackupItemAction](operating{}))
	p.RestoreItemAction("a.b/plain", constant[RestoreItemAction](action{}))
	p.RestoreItemAction("a.b/async", constant[RestoreItemAction](operating{}))
	p.ItemBlockAction("a.b/block", constant[ItemBlockAction](everything{}))
	kinds := func() []string {
		got, err := p.list(t.Context(), &abi.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, id := range got.Plugins {
			if id.Command != os.Args[0] {
				t.Errorf("command %q", id.Command)
			}
			kinds = append(kinds, id.Kind+" "+id.Name)
		}
		return kinds
	}
	want := []string{
		"ObjectStore a.b/store", "BackupItemActionV2 a.b/async", "BackupItemAction a.b/plain",
		"RestoreItemActionV2 a.b/async", "RestoreItemAction a.b/plain", "ItemBlockAction a.b/block",
	}
	if got := kinds(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, args := range [][]string{{"--log-level", "info"}, {"--log-level", "debug", "--features", "EnableCSI"}} {
		p.flags = server.ParseFlags(args)
		if got := kinds(); !slices.Equal(got, want[:5]) {
			t.Errorf("%q: got %q", args, got)
		}
	}
	p.flags = server.ParseFlags([]string{"--features=EnableCSI", "--log-level=debug"})
	if got := kinds(); !slices.Equal(got, want) {
		t.Errorf("a newer host: got %q", got)
	}
}

func TestImplementationsInUseAreClosed(t *testing.T) {
	p := New("p", "v")
	used, idle := &heap{}, &heap{}
	p.ObjectStore("a.b/used", constant[ObjectStore](used))
	p.ObjectStore("a.b/again", constant[ObjectStore](used))
	p.ObjectStore("a.b/idle", constant[ObjectStore](idle))
	for range 2 {
		for _, name := range []string{"a.b/used", "a.b/again"} {
			if _, err := p.objectStores.find(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.close()
	if used.closed != 1 || idle.closed != 0 {
		t.Errorf("closed %d and %d times, want 1 and 0", used.closed, idle.closed)
	}
}

func TestRegistrationProblemsKeepThePluginFromServing(t *testing.T) {
	for _, name := range []string{"", "plain", "/x", "a/", "a/b/c", "A.b/x", "-a/x", "a..b/x", strings.Repeat("a", 254) + "/x"} {
		p := New("p", "v")
		p.DeleteItemAction(name, constant[DeleteItemAction](everything{}))
		if err := p.serve([]string{"p"}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	p := New("p", "v")
	p.BackupItemAction("a.b/x", constant[BackupItemAction](action{}))
	p.RestoreItemAction("a.b/x", constant[RestoreItemAction](action{})) // another kind, so another name
	if err := errors.Join(p.problems...); err != nil {
		t.Error(err)
	}
	p.BackupItemAction("a.b/x", constant[BackupItemAction](action{}))
	if err := p.serve([]string{"p"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("registered twice: %v", err)
	}
}

func TestBackupIsDecodedOnce(t *testing.T) {
	p := New("p", "v")
	raw := []byte(`{"kind":"Backup","metadata":{"name":"b"}}`)
	decoded := func(raw []byte) *unstructured.Unstructured {
		t.Helper()
		backup, err := p.backup(raw)
		if err != nil {
			t.Fatal(err)
		}
		object, err := backup.Object()
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	first := decoded(raw)
	for i := range maxDocuments - 1 {
		decoded(fmt.Appendf(nil, `{"metadata":{"name":"%d"}}`, i))
	}
	if again := decoded(slices.Clone(raw)); again != first {
		t.Error("the same backup was decoded again")
	}
	for i := range maxDocuments {
		decoded(fmt.Appendf(nil, `{"metadata":{"name":"%d"}}`, i))
	}
	if n := len(p.documents.recent); n != maxDocuments {
		t.Errorf("%d documents are kept", n)
	}
	if again := decoded(raw); again == first || again.GetName() != "b" {
		t.Error("an old backup was not decoded anew")
	}
	for _, raw := range []string{"", "{", "[]", `{"metadata":{"labels":["a"]}}`} {
		if _, err := p.backup([]byte(raw)); err == nil || !strings.Contains(err.Error(), "the Backup that Velero sent") {
			t.Errorf("a malformed backup: %v", err)
		}
	}
}

func TestDecodeOnceForEachType(t *testing.T) {
	type spec struct {
		Spec struct{ StorageLocation string }
	}
	backup := NewBackup([]byte(`{"spec":{"storageLocation":"default","other":1},"status":{"phase":"New"}}`))
	views := make([]*spec, 8)
	var done sync.WaitGroup
	for i := range views {
		done.Go(func() { views[i], _ = Decode[spec](backup) })
	}
	done.Wait()
	for _, v := range views {
		if v != views[0] || v.Spec.StorageLocation != "default" {
			t.Fatalf("decoded %p %+v and %p", v, v, views[0])
		}
	}
	type status struct{ Status map[string]string }
	if v, err := Decode[status](backup); err != nil || v.Status["phase"] != "New" {
		t.Errorf("as another type: %+v, %v", v, err)
	}
	for range 2 {
		if _, err := Decode[struct{ Spec []int }](backup); err == nil {
			t.Error("an object as a list is no error")
		}
	}
}
