package plugintest_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// faultVariable makes the test binary a plugin with that fault.
const faultVariable = "PLUGINTEST_FIXTURE"

// stallLimit is how long the fixture lets a download stand still.
const stallLimit = 2 * time.Second

// graceOfHost is how long the Velero server lets a plugin end.
const graceOfHost = 2 * time.Second

// volumeID is the volume of the fixture's snapshotter.
const volumeID = "volume-1"

const (
	noFault    = "none"
	stockFault = "stock"
)

func TestMain(m *testing.M) {
	fault := os.Getenv(faultVariable)
	if fault == "" {
		os.Exit(m.Run())
	}
	servePlugin(fault)
}

func servePlugin(fault string) {
	beforeStart(fault)
	if fault == stockFault {
		serveStock(&dirStore{})
		return
	}
	action := faultyStamp{fault: fault, asked: new(int)}
	copies := &copying{fault: fault, known: map[string]bool{}}
	stdout := hostPipe(fault) // before the SDK redirects it
	p := sdk.New("velero-plugin-for-tests", "v0")
	p.ObjectStore("example.io/fs", func(sdk.Host) (sdk.ObjectStore, error) {
		return &faultyStore{dirStore: &dirStore{}, fault: fault}, nil
	})
	p.BackupItemAction("example.io/stamp", func(sdk.Host) (sdk.BackupItemAction, error) { return action, nil })
	p.BackupItemAction(misbehavingName, func(sdk.Host) (sdk.BackupItemAction, error) {
		return misbehaving{stdout: stdout}, nil
	})
	p.VolumeSnapshotter("example.io/fs", func(sdk.Host) (sdk.VolumeSnapshotter, error) {
		return &faultySnapshotter{dirSnapshotter: &dirSnapshotter{}, fault: fault}, nil
	})
	p.BackupItemAction(copyName, func(sdk.Host) (sdk.BackupItemAction, error) { return copies, nil })
	p.RestoreItemAction(copyName, func(sdk.Host) (sdk.RestoreItemAction, error) { return copies, nil })
	p.RestoreItemAction("example.io/stamp", func(sdk.Host) (sdk.RestoreItemAction, error) { return restoreStamp{fault: fault}, nil })
	p.DeleteItemAction("example.io/stamp", func(sdk.Host) (sdk.DeleteItemAction, error) { return stamp{}, nil })
	p.ItemBlockAction("example.io/stamp", func(sdk.Host) (sdk.ItemBlockAction, error) { return stamp{}, nil })
	p.Main()
}

// fixture returns this binary as a plugin with a store of its own.
func fixture(t *testing.T, fault string) plugintest.Plugin {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, dir := range []string{"uploads", "bucket", "volumes", "snapshots"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "volumes", volumeID), []byte("fast"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(fileServer(root))
	t.Cleanup(files.Close)
	item := func(do string) json.RawMessage {
		return json.RawMessage(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"do":"` + do + `"}`)
	}
	p := plugintest.Plugin{
		Path: path,
		Env: append(os.Environ(), faultVariable+"="+fault,
			"OADP_PLUGIN_CLIENT_TIMEOUT=3s", "OADP_PLUGIN_STALL_TIMEOUT="+stallLimit.String(),
			"GORACE=atexit_sleep_ms=0"), // under the race detector an exit would take a second
		StallLimit: stallLimit,
		Store: &plugintest.StoreConfig{
			Config:      map[string]string{"root": root, "url": files.URL},
			Alternate:   map[string]string{"root": root},
			Bucket:      "bucket",
			LargeObject: 64 << 20,
		},
		Snapshotter: &plugintest.SnapshotterConfig{
			Config:    map[string]string{"root": root},
			Alternate: map[string]string{"root": root, "zone": "zone-a"},
			PersistentVolume: json.RawMessage(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"a","uid":"b"},"spec":{` +
				`"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"csi":{"driver":"` + driver + `","volumeHandle":"` + volumeID + `"}}}`),
			VolumeID: volumeID,
			Zone:     "zone-a",
			DeleteVolume: func(_ context.Context, id string) error {
				return os.Remove(filepath.Join(root, "volumes", id))
			},
		},
		Operations: []plugintest.Operation{
			{Kind: "BackupItemActionV2", Name: copyName, Item: item("copy")},
			{Kind: "RestoreItemActionV2", Name: copyName, Item: item("copy")},
		},
		BreakBackend: func() func() {
			broken := filepath.Join(root, brokenFile)
			if err := os.WriteFile(broken, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(broken) }
		},
	}
	if fault != stockFault {
		p.Provoke = &plugintest.Provocation{
			Kind: "BackupItemActionV2", Name: misbehavingName,
			Panics: map[string]json.RawMessage{
				"a value on purpose": item("value"), "an error on purpose": item("error"), "nil pointer": item("nil"),
			},
			Prints: item("print"),
		}
	}
	return p
}

// TestSoundPlugin checks a plugin without faults: every row applies and holds.
func TestSoundPlugin(t *testing.T) {
	plugintest.Run(t, fixture(t, noFault))
}

// TestNothingLeft checks that a run leaves nothing in the plugin's store.
func TestNothingLeft(t *testing.T) {
	p := fixture(t, noFault)
	if r := check(t, p, "store.round-trip"); r.Status != plugintest.Passed {
		t.Error(r.Err)
	}
	for _, dir := range []string{"uploads", "bucket", "snapshots"} {
		left, err := os.ReadDir(filepath.Join(p.Store.Config["root"], dir))
		if err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}

// check opens a suite for one row.
func check(t *testing.T, p plugintest.Plugin, id string) plugintest.Result {
	t.Helper()
	suite, err := plugintest.Open(t.Context(), p)
	if err != nil {
		return plugintest.Result{Err: err}
	}
	defer suite.Close() // faulty plugins cannot clean up
	for _, row := range plugintest.Rows() {
		if row.ID == id {
			return suite.Check(t.Context(), row)
		}
	}
	return plugintest.Result{Reason: "there is no such row"}
}

// flaw is a fault and what the row that it breaks has to find.
type flaw struct{ row, fault, found string }

// flaws holds at least one fault for each row; those that take long come first.
func flaws() []flaw {
	return []flaw{
		{"end.no-client", stockFault, "still runs"},
		{"end.connection-lost", stockFault, "still runs"},
		{"end.host-killed", stockFault, "still runs"},
		{"store.signed-url", "signs for ever", "the URL still works"},
		{"store.init-leak", "opens a file at each Init", "open descriptors"},
		{"fault.get-closed", "does not close downloads", "open descriptors"},
		{"start.no-cookie", "succeeds without the cookie", "exit code 0"},
		{"start.handshake", "prints before the handshake", `"starting`},
		{"start.log-level", "ends at a bad log level", "nothing was printed on stdout"},
		{"start.list", "lists another command", "argv[0] was"},
		{"start.read-only", stockFault, "nothing was printed on stdout"},
		{"start.long-tmpdir", stockFault, "nothing was printed on stdout"},
		{"end.shutdown", "leaves a child", "processes still run"},
		{"end.shutdown", "leaves a file", "left in TMPDIR"},
		{"end.shutdown-busy", "stores what it has when a body breaks", "unfinished exists"},
		{"end.sigterm", stockFault, "ended by signal terminated"},
		{"end.sigint", stockFault, "ListPlugins after SIGINT"},
		{"end.cycles", "logs an error", "error lines"},
		{"end.crash", "locks its store", "file exists"},
		{"call.unknown-name", stockFault, "answers without an error"},
		{"call.garbage", stockFault, "is accepted"},
		{"call.panic", "panics in a goroutine", "the code is Unavailable"},
		{"call.panic-stack", "panics in a goroutine", "no stack"},
		{"call.first-use", "shares one buffer", "are not those of the object"},
		{"log.lines", "logs plain text", "no JSON object: hello"},
		{"log.lines", "logs a number as message", "@message is no string"},
		{"log.prints", "prints to the first stdout", "stray"},
		{"action.result", "drops unknown fields", "xPlugintest.big"},
		{"action.result", "turns integers into floats", "is 9007199254740992"},
		{"action.applies-to", "answers with a bad label selector", "label selector"},
		{"action.applies-to", "changes its selector", "resource2"},
		{"action.restored-namespaces", "restores namespaces", "it selects the resource namespaces"},
		{"action.operations", stockFault, "Progress is empty"},
		{"action.hostile-item", "trusts its objects", "it panics"},
		{"action.hostile-item", stockFault, "has no kind"},
		{"action.hostile-owner", "trusts its backups", "it panics"},
		{"action.items-ready", "expects items", "of 0 items"},
		{"operation.begin", "begins no operation", "no operation is begun"},
		{"operation.begin", "counts backwards", "-1 of 1"},
		{"operation.new-process", "keeps operations in memory", "is invalid"},
		{"operation.cancel", "waits in Cancel", "calling Cancel"},
		{"operation.finalizing", "copies again at the end", "in phase Finalizing"},
		{"action.large-item", stockFault, "larger than max"},
		{"store.round-trip", stockFault, "and no error"},
		{"store.large-object", "holds objects in memory", "for an object of 512 MiB"},
		{"store.large-message", stockFault, "larger than max"},
		{"store.replace", "does not truncate", "more than the 10 bytes"},
		{"store.replace", "deletes nothing", "exists"},
		{"store.absent", "gives absent objects as empty", "gives 0 bytes and no error"},
		{"store.absent", "deletes no absent objects", "DeleteObject of an absent object"},
		{"store.absent-bucket", "stores in absent buckets", "PutObject is no error"},
		{"store.empty-object", stockFault, "answered with success"},
		{"store.visibility", "writes in place", "are uploaded"},
		{"store.keys", "lists + as a blank", "1 are missing"},
		{"store.signed-url", "does not escape URLs", "403 Forbidden"},
		{"store.init-again", "forgets its configuration during Init", "not initialized"},
		{"store.bad-config", "accepts unknown keys", "is accepted"},
		{"store.uninitialized", "lists nothing before Init", "before Init ListObjects"},
		{"list.prefixes", "lists prefixes twice", "3 are twice"},
		{"list.prefixes", "cuts the delimiter off", "3 are missing"},
		{"list.many", "lists one page", "105 are missing"},
		{"list.delimiter", "knows one delimiter", "2 are missing"},
		{"snapshotter.init", "forgets its configuration during Init", "not initialized"},
		{"snapshotter.init-leak", "opens a file at each Init", "open descriptors"},
		{"snapshotter.bad-config", "accepts unknown keys", "is accepted"},
		{"snapshotter.uninitialized", "takes snapshots before Init", "before Init CreateSnapshot"},
		{"snapshotter.foreign-volume", "refuses volumes of others", "of NFS"},
		{"snapshotter.hostile-volume", "trusts its objects", "it panics"},
		{"snapshotter.own-volume", "gives the id of another volume", `the volume is "volume-1"`},
		{"snapshotter.set-volume-id", "keeps the old id", "after SetVolumeID"},
		{"snapshotter.set-volume-id", "drops unknown fields", "spec.xPlugintest"},
		{"snapshotter.set-volume-id", "returns a part of the volume", "xPlugintest"},
		{"snapshotter.volume-info", "knows all volumes", "does not exist is no error"},
		{"snapshotter.snapshot", "gives no id", "gives no id"},
		{"snapshotter.tags", "refuses many tags", "with 60 tags"},
		{"snapshotter.tags", "gives one id", "two snapshots"},
		{"snapshotter.delete-absent", "deletes no absent snapshots", "it does not exist"},
		{"snapshotter.delete-empty", "deletes nothing without an id", "the id is missing"},
		{"snapshotter.create-volume", "divides by the IOPS", "divide by zero"},
		{"snapshotter.create-volume", "makes nothing without a zone", "no id and no error"},
		{"snapshotter.create-volume", "makes volumes of one type", `has the type "slow"`},
		// Which of the two objects it breaks first is a matter of time; the error names it.
		{"fault.put-interrupted", "stores what it has when a body breaks", "/fault.put-interrupted/"},
		{"fault.put-host-killed", "stores what it has when a body breaks", "of the object arrived"},
		{"fault.put-refused", stockFault, `no more than "EOF"`},
		{"fault.get-abandoned", "ends slowly", "the Velero server kills"},
		{"fault.get-stalled", stockFault, "is served on"},
		{"fault.get-backend", "ends a broken download as if complete", "ends without an error"},
		{"fault.backend", "reports errors as absence", "ObjectExists: no error"},
		{"fault.backend", "lists nothing when broken", "ListObjects: no error"},
	}
}

// TestRowsFindFaults breaks a plugin in one way after the other.
func TestRowsFindFaults(t *testing.T) {
	untested := map[string]bool{}
	for _, row := range plugintest.Rows() {
		untested[row.ID] = true
	}
	// Most of the time is spent waiting, so that more run at once than there
	// are processors.
	slots := make(chan struct{}, 8)
	var done sync.WaitGroup
	for _, f := range flaws() {
		delete(untested, f.row)
		if testing.Short() && f.row == "end.no-client" {
			continue // it takes more than a minute
		}
		p := f.plugin(t)
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			f.check(t, p)
		})
	}
	done.Wait()
	for id := range untested {
		t.Errorf("nothing breaks the row %s", id)
	}
}

func (f flaw) plugin(t *testing.T) plugintest.Plugin {
	p := fixture(t, f.fault)
	switch f.fault {
	case "panics in a goroutine":
		p.Provoke.Name = "example.io/stamp"
	case "holds objects in memory":
		p.Store.LargeObject = 512 << 20
	}
	return p
}

func (f flaw) check(t *testing.T, p plugintest.Plugin) {
	r := check(t, p, f.row)
	if r.Status != plugintest.Failed || !strings.Contains(r.Err.Error(), f.found) {
		t.Errorf("of a plugin that %s: %s %s %v %s", f.fault, f.row, r.Status, r.Err, r.Reason)
	}
}

func TestSkips(t *testing.T) {
	p := fixture(t, noFault)
	for _, skip := range []map[string]string{{"no.such-row": "why"}, {"start.list": " "}} {
		p.Skip = skip
		if _, err := plugintest.Open(t.Context(), p); err == nil {
			t.Errorf("%v is accepted", skip)
		}
	}
}

func TestRowsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range plugintest.Rows() {
		if seen[row.ID] || row.ID == "" || row.Name == "" || row.Contract == "" || row.Consequence == "" || row.Group() == "" {
			t.Errorf("row %q is incomplete or not the only one of its id", row.ID)
		}
		seen[row.ID] = true
	}
}
