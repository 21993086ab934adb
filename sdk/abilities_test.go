package sdk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/oadp-plugins/oadp-plugins/sdk/internal/abi"
	"github.com/oadp-plugins/oadp-plugins/sdk/internal/server"
)

// Types with a part of an ability.
type (
	progressOnly  struct{ action }
	cancelOnly    struct{ action }
	oldProgress   struct{ action }
	onPointer     struct{ action }
	readyForNone  struct{ action }
	wrapper       struct{ BackupItemAction }
	namedWrapper  struct{ inner BackupItemAction }
	storeWrapper  struct{ ObjectStore }
	uncheckedHeap struct{ ObjectStore }
)

func (progressOnly) BackupProgress(context.Context, BackupOperation) (Progress, error) {
	return Progress{}, nil
}

func (cancelOnly) CancelRestore(context.Context, RestoreOperation) (CancelResult, error) {
	return CancelResult{}, nil
}

func (oldProgress) BackupProgress(context.Context, string, Backup) (Progress, error) {
	return Progress{}, nil
}
func (oldProgress) CancelBackup(context.Context, string, Backup) error { return nil }

func (*onPointer) BackupProgress(context.Context, BackupOperation) (Progress, error) {
	return Progress{}, nil
}
func (*onPointer) CancelBackup(context.Context, BackupOperation) (CancelResult, error) {
	return CancelResult{}, nil
}

func (readyForNone) ItemsReady(context.Context, []ResourceIdentifier) bool { return true }

func (w namedWrapper) AppliesTo(ctx context.Context, in AppliesToInput) (Selector, error) {
	return w.inner.AppliesTo(ctx, in)
}
func (w namedWrapper) Backup(ctx context.Context, in BackupInput) (BackupResult, error) {
	return w.inner.Backup(ctx, in)
}

func (uncheckedHeap) Checks(map[string]string) ([]Check, error) { return nil, nil }

// A type that has a part of an ability, or hides one, keeps the server from
// starting.
func TestHalfAbilities(t *testing.T) {
	_ = any(&onPointer{}).(BackupOperations) // a pointer has the whole
	for name, c := range map[string]struct {
		register func(*Plugin)
		want     []string // parts of the error; nil is none
	}{
		"progress without cancel": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](progressOnly{})) },
			[]string{"a.b/x", "sdk.progressOnly", "sdk.BackupOperations", "no method CancelBackup"}},
		"cancel without progress": {
			func(p *Plugin) { p.RestoreItemAction("a.b/x", constant[RestoreItemAction](cancelOnly{})) },
			[]string{"sdk.cancelOnly", "sdk.RestoreOperations", "no method RestoreProgress"}},
		"other parameters": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](oldProgress{})) },
			[]string{"sdk.oldProgress", "BackupProgress(context.Context, sdk.BackupOperation) (sdk.Progress, error)"}},
		"readiness with other parameters": {
			func(p *Plugin) { p.RestoreItemAction("a.b/x", constant[RestoreItemAction](readyForNone{})) },
			[]string{"sdk.ItemsReadiness", "ItemsReady(context.Context, sdk.ItemsReadyInput)"}},
		"methods of the pointer": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](onPointer{})) },
			[]string{"only a pointer to sdk.onPointer", "return a pointer"}},
		"pointer": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](&onPointer{})) }, nil},
		"embedding hides operations": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](wrapper{operating{}})) },
			[]string{"sdk.wrapper wraps sdk.operating", "embed a sdk.BackupOperations"}},
		"a field hides operations": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](&namedWrapper{operating{}})) },
			[]string{"*sdk.namedWrapper wraps sdk.operating"}},
		"embedding hides nothing": {
			func(p *Plugin) { p.BackupItemAction("a.b/x", constant[BackupItemAction](wrapper{action{}})) }, nil},
		"a store hides its keys": {
			func(p *Plugin) { p.ObjectStore("a.b/x", constant[ObjectStore](storeWrapper{&heap{}})) },
			[]string{"sdk.storeWrapper wraps *sdk.heap", "sdk.Configured"}},
		"checks with other parameters": {
			func(p *Plugin) { p.ObjectStore("a.b/x", constant[ObjectStore](uncheckedHeap{})) },
			[]string{"sdk.Checked", "Checks(context.Context, sdk.ChecksInput) ([]sdk.Check, error)"}},
		"nil": {
			func(p *Plugin) { p.DeleteItemAction("a.b/x", constant[DeleteItemAction](nil)) },
			[]string{"DeleteItemAction a.b/x", "nil and no error"}},
		"another kind": {
			func(p *Plugin) { p.RestoreItemAction("a.b/x", constant[RestoreItemAction](progressOnly{})) }, nil},
	} {
		p := New("p", "v")
		c.register(p)
		_, err := p.list(t.Context(), &abi.Empty{})
		if c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
	}
}

// An error of a constructor fails the call, and the next call tries again. At
// the start of the server it is logged.
func TestConstructorsMayFail(t *testing.T) {
	var log bytes.Buffer
	later := errors.New("not yet")
	p := New("p", "v")
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	p.BackupItemAction("a.b/x", func(Host) (BackupItemAction, error) { return action{}, later })
	p.ObjectStore("a.b/x", func(Host) (ObjectStore, error) { return nil, later })
	list, err := p.list(t.Context(), &abi.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	// Nobody knows yet whether the action has operations.
	if kind := list.Plugins[1].Kind; kind != kindBackupItemActionV2 {
		t.Errorf("an action that cannot be constructed is listed as %s", kind)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "BackupItemAction a.b/x cannot start: not yet") {
		t.Errorf("the log says %s", log.String())
	}
	if _, err := p.backupItemActions.find("a.b/x"); !errors.Is(err, later) {
		t.Errorf("a call gets %v", err)
	}
	later = nil
	if _, err := p.backupItemActions.find("a.b/x"); err != nil {
		t.Errorf("the next call gets %v", err)
	}
	p.RestoreItemAction("a.b/y", nil)
	if err := p.serve([]string{"p"}); err == nil || !strings.Contains(err.Error(), "a.b/y") {
		t.Errorf("without a constructor: %v", err)
	}
}

func TestHost(t *testing.T) {
	t.Setenv("VELERO_NAMESPACE", "openshift-adp")
	for _, c := range []struct {
		args []string
		want Host
	}{
		{nil, Host{Namespace: "openshift-adp", Cluster: Cluster{QPS: 100, Burst: 100}}},
		{[]string{"--log-level", "debug", "--features", "EnableCSI,EnableAPIGroupVersions"},
			Host{Namespace: "openshift-adp", Features: []string{"EnableCSI", "EnableAPIGroupVersions"}, Cluster: Cluster{QPS: 100, Burst: 100}}},
		{[]string{"--features=EnableCSI", "-n", "velero", "--kubeconfig=/c", "--kubecontext", "there", "--client-qps=7.5", "--client-burst", "9", "--unknown"},
			Host{Namespace: "velero", Features: []string{"EnableCSI"}, Cluster: Cluster{Kubeconfig: "/c", Context: "there", QPS: 7.5, Burst: 9}}},
		{[]string{"--client-qps=-1", "--client-burst=many", "--namespace=a"},
			Host{Namespace: "a", Cluster: Cluster{QPS: 100, Burst: 100}}},
	} {
		p := New("p", "v")
		p.args, p.flags = c.args, server.ParseFlags(c.args)
		var got Host
		p.ObjectStore("a.b/fs", func(h Host) (ObjectStore, error) {
			got = h
			return &heap{}, nil
		})
		if _, err := p.objectStores.find("a.b/fs"); err != nil {
			t.Fatal(err)
		}
		if got.Logger == nil || got.Kind != "ObjectStore" || got.Name != "a.b/fs" || !slices.Equal(got.Args, c.args) ||
			got.Namespace != c.want.Namespace || got.Cluster != c.want.Cluster || !slices.Equal(got.Features, c.want.Features) {
			t.Errorf("%q: got %+v", c.args, got)
		}
		if got.Enabled("EnableCSI") != slices.Contains(c.want.Features, "EnableCSI") || got.Enabled("") {
			t.Errorf("%q: features %q", c.args, got.Features)
		}
	}
	t.Setenv("VELERO_NAMESPACE", "")
	if got := server.ParseFlags(nil).Namespace; got != "velero" {
		if _, err := os.Stat("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err != nil {
			t.Errorf("the namespace without any hint is %q", got)
		}
	}
}

// The labels are those that the documentation of Velero tells administrators to set.
func TestConfigMapSelector(t *testing.T) {
	p := New("p", "v")
	var host Host
	p.RestoreItemAction("example.io/stamp", func(h Host) (RestoreItemAction, error) {
		host = h
		restore := func(context.Context, RestoreInput) (RestoreResult, error) { return RestoreResult{}, nil }
		return RestoreFuncs{Restore: restore}.New(h)
	})
	if _, err := p.restoreItemActions.find("example.io/stamp"); err != nil {
		t.Fatal(err)
	}
	selector, err := labels.Parse(host.ConfigMapSelector())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		labels labels.Set
		want   bool
	}{
		{labels.Set{"velero.io/plugin-config": "", "example.io/stamp": "RestoreItemAction"}, true},
		{labels.Set{"velero.io/plugin-config": "true", "example.io/stamp": "RestoreItemAction", "a": "b"}, true},
		{labels.Set{"velero.io/plugin-config": "", "example.io/stamp": "BackupItemAction"}, false},
		{labels.Set{"velero.io/plugin-config": "", "example.io/other": "RestoreItemAction"}, false},
		{labels.Set{"example.io/stamp": "RestoreItemAction"}, false},
	} {
		if got := selector.Matches(c.labels); got != c.want {
			t.Errorf("%s matches %v: %v", host.ConfigMapSelector(), c.labels, got)
		}
	}
}

func TestActionsOfFunctions(t *testing.T) {
	backup := func(context.Context, BackupInput) (BackupResult, error) { return BackupResult{OperationID: "o"}, nil }
	progress := func(context.Context, BackupOperation) (Progress, error) { return Progress{Units: "u"}, nil }
	cancel := func(context.Context, BackupOperation) (CancelResult, error) { return CancelResult{}, errors.New("c") }
	selector := Selector{IncludedResources: []string{"pods"}}

	plain, err := BackupFuncs{Selector: selector, Backup: backup}.New(Host{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := plain.(BackupOperations); ok {
		t.Error("an action without operations has the ability")
	}
	whole, err := BackupFuncs{Selector: selector, Backup: backup, Progress: progress, Cancel: cancel}.New(Host{})
	if err != nil {
		t.Fatal(err)
	}
	operations := whole.(BackupOperations)
	got, err := operations.AppliesTo(t.Context(), AppliesToInput{})
	if err != nil || !slices.Equal(got.IncludedResources, selector.IncludedResources) {
		t.Errorf("selector %+v, %v", got, err)
	}
	if r, err := operations.Backup(t.Context(), BackupInput{}); r.OperationID != "o" || err != nil {
		t.Errorf("backup %+v, %v", r, err)
	}
	if p, err := operations.BackupProgress(t.Context(), BackupOperation{}); p.Units != "u" || err != nil {
		t.Errorf("progress %+v, %v", p, err)
	}
	if _, err := operations.CancelBackup(t.Context(), BackupOperation{}); err == nil {
		t.Error("cancel is not called")
	}
	restore := func(context.Context, RestoreInput) (RestoreResult, error) { return RestoreResult{Skip: true}, nil }
	restoreProgress := func(context.Context, RestoreOperation) (Progress, error) { return Progress{Units: "u"}, nil }
	restoreCancel := func(context.Context, RestoreOperation) (CancelResult, error) { return CancelResult{}, nil }
	ready := func(context.Context, ItemsReadyInput) (ItemsReadyResult, error) {
		return ItemsReadyResult{Ready: true}, nil
	}
	for i, f := range []RestoreFuncs{
		{Restore: restore},
		{Restore: restore, Progress: restoreProgress, Cancel: restoreCancel},
		{Restore: restore, ItemsReady: ready},
		{Restore: restore, Progress: restoreProgress, Cancel: restoreCancel, ItemsReady: ready},
	} {
		a, err := f.New(Host{})
		if err != nil {
			t.Fatal(err)
		}
		_, operations := a.(RestoreOperations)
		_, readiness := a.(ItemsReadiness)
		if operations != (f.Progress != nil) || readiness != (f.ItemsReady != nil) {
			t.Errorf("%d: operations %t, readiness %t", i, operations, readiness)
		}
		if err := checkAbilities(kindRestoreItemAction, "a.b/x", a); err != nil {
			t.Error(err)
		}
		if r, err := a.Restore(t.Context(), RestoreInput{}); !r.Skip || err != nil {
			t.Errorf("restore %+v, %v", r, err)
		}
	}
	for want, construct := range map[string]func() error{
		"BackupFuncs has no function Backup":   func() error { _, err := BackupFuncs{}.New(Host{}); return err },
		"Progress but no function Cancel":      func() error { _, err := BackupFuncs{Backup: backup, Progress: progress}.New(Host{}); return err },
		"Cancel but no function Progress":      func() error { _, err := RestoreFuncs{Restore: restore, Cancel: restoreCancel}.New(Host{}); return err },
		"DeleteFuncs has no function Delete":   func() error { _, err := DeleteFuncs{}.New(Host{}); return err },
		"ItemBlockFuncs has no function Relat": func() error { _, err := ItemBlockFuncs{}.New(Host{}); return err },
	} {
		if err := construct(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// The accessors of a Backup and a Restore, also of one that was never sent.
func TestAccessors(t *testing.T) {
	meta := `"metadata":{"name":"n","namespace":"velero","uid":"u","labels":{"a":"b"},"annotations":{"c":"d"}}`
	b := NewBackup([]byte(`{` + meta + `,"spec":{"storageLocation":"s"},"status":{"phase":"FinalizingPartiallyFailed"}}`))
	if b.Name() != "n" || b.Namespace() != "velero" || b.UID() != "u" || b.Labels()["a"] != "b" || b.Annotations()["c"] != "d" || b.StorageLocation() != "s" || !b.Finalizing() {
		t.Errorf("backup %s", b.JSON())
	}
	r := NewRestore([]byte(`{` + meta + `,"spec":{"backupName":"b","namespaceMapping":{"shop":"copy","":"x"}}}`))
	if r.Name() != "n" || r.BackupName() != "b" || r.TargetNamespace("shop") != "copy" || r.TargetNamespace("other") != "other" || r.TargetNamespace("") != "" {
		t.Errorf("restore %s", r.JSON())
	}
	for _, phase := range []string{"", "InProgress", "Completed"} {
		if NewBackup([]byte(`{"status":{"phase":"` + phase + `"}}`)).Finalizing() {
			t.Errorf("phase %q is finalizing", phase)
		}
	}
	var in RestoreInput
	if in.Restore.Name() != "" || in.Restore.TargetNamespace("a") != "a" || in.Restore.Labels() != nil || in.Restore.JSON() != nil || in.FromBackup.JSON() != nil {
		t.Error("the zero value of a Restore is not empty")
	}
	for _, d := range []Decodable{in.Restore, in.FromBackup, Backup{}} {
		if _, err := Decode[summary](d); err == nil {
			t.Errorf("%T: nothing was decoded", d)
		}
	}
	if _, err := in.Restore.Object(); err == nil {
		t.Error("the object of no restore")
	}
	if _, err := in.FromBackup.Object(); err == nil {
		t.Error("the object of no document")
	}
}
