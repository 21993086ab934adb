package plugintest_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// faultVariable makes the test binary a plugin with that fault.
const faultVariable = "PLUGINTEST_FIXTURE"

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
	p := sdk.New("velero-plugin-for-tests", "v0")
	p.ObjectStore("example.io/fs", func(*slog.Logger) sdk.ObjectStore {
		return &faultyStore{dirStore: &dirStore{}, fault: fault}
	})
	p.BackupItemAction("example.io/stamp", action)
	p.BackupItemAction(misbehavingName, misbehaving{})
	p.RestoreItemAction("example.io/stamp", stamp{})
	p.DeleteItemAction("example.io/stamp", stamp{})
	p.ItemBlockAction("example.io/stamp", stamp{})
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
	for _, dir := range []string{"uploads", "bucket"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := httptest.NewServer(fileServer(root))
	t.Cleanup(files.Close)
	item := func(do string) json.RawMessage {
		return json.RawMessage(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"do":"` + do + `"}`)
	}
	p := plugintest.Plugin{
		Path: path,
		Env:  append(os.Environ(), faultVariable+"="+fault),
		Store: &plugintest.StoreConfig{
			Config:      map[string]string{"root": root, "url": files.URL},
			Alternate:   map[string]string{"root": root},
			Bucket:      "bucket",
			LargeObject: 64 << 20,
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
	check(t, p, "store.round-trip")
	for _, dir := range []string{"uploads", "bucket"} {
		left, err := os.ReadDir(filepath.Join(p.Store.Config["root"], dir))
		if err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}

// check opens a suite for one row.
func check(t *testing.T, p plugintest.Plugin, id string) plugintest.Result {
	t.Helper()
	p.Skip = map[string]string{"end.no-client": "it takes a minute"}
	if id == "end.no-client" {
		p.Skip = nil
	}
	suite, err := plugintest.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := suite.Close(); err != nil {
			t.Log(err) // the plugin is faulty
		}
	}()
	for _, row := range plugintest.Rows() {
		if row.ID == id {
			return suite.Check(t.Context(), row)
		}
	}
	t.Fatalf("there is no row %s", id)
	return plugintest.Result{}
}

// TestRowsFindFaults breaks a plugin in one way after the other.
func TestRowsFindFaults(t *testing.T) {
	for _, c := range []struct{ row, fault string }{
		{"start.no-cookie", "succeeds without the cookie"},
		{"start.handshake", "prints before the handshake"},
		{"start.log-level", "ends at a bad log level"},
		{"start.list", "lists another command"},
		{"start.read-only", stockFault},
		{"start.long-tmpdir", stockFault},
		{"end.shutdown", "leaves a child"},
		{"end.shutdown", "leaves a file"},
		{"end.shutdown-busy", "stores what it has when a body breaks"},
		{"end.sigterm", stockFault},
		{"end.sigint", stockFault},
		{"end.host-killed", stockFault},
		{"end.connection-lost", stockFault},
		{"end.no-client", stockFault},
		{"end.cycles", "logs an error"},
		{"end.crash", "deletes nothing"},
		{"call.unknown-name", stockFault},
		{"call.garbage", stockFault},
		{"call.panic", "panics in a goroutine"},
		{"call.panic-stack", "panics in a goroutine"},
		{"call.first-use", "shares one buffer"},
		{"log.lines", "logs plain text"},
		{"log.lines", "logs a number as message"},
		{"log.prints", "prints to the first stdout"},
		{"action.result", "drops unknown fields"},
		{"action.result", "turns integers into floats"},
		{"action.applies-to", "answers with a bad label selector"},
		{"action.applies-to", "changes its selector"},
		{"action.operations", stockFault},
		{"action.large-item", stockFault},
		{"store.round-trip", stockFault},
		{"store.large-object", "holds objects in memory"},
		{"store.large-message", stockFault},
		{"store.replace", "does not truncate"},
		{"store.replace", "deletes nothing"},
		{"store.absent", "gives absent objects as empty"},
		{"store.absent", "deletes no absent objects"},
		{"store.absent-bucket", "stores in absent buckets"},
		{"store.empty-object", stockFault},
		{"store.visibility", "writes in place"},
		{"store.keys", "lists + as a blank"},
		{"store.signed-url", "signs for ever"},
		{"store.signed-url", "does not escape URLs"},
		{"store.init-again", "forgets its configuration during Init"},
		{"store.init-again", "opens a file at each Init"},
		{"store.bad-config", "accepts unknown keys"},
		{"list.prefixes", "lists prefixes twice"},
		{"list.prefixes", "cuts the delimiter off"},
		{"list.many", "lists one page"},
		{"list.delimiter", "knows one delimiter"},
		{"fault.put-interrupted", "stores what it has when a body breaks"},
		{"fault.put-host-killed", "stores what it has when a body breaks"},
		{"fault.put-refused", stockFault},
		{"fault.get-closed", "does not close downloads"},
		{"fault.get-backend", "ends a broken download as if complete"},
		{"fault.backend", "reports errors as absence"},
		{"fault.backend", "lists nothing when broken"},
	} {
		t.Run(c.row+"/"+strings.ReplaceAll(c.fault, " ", "-"), func(t *testing.T) {
			t.Parallel()
			p := fixture(t, c.fault)
			if c.fault == "panics in a goroutine" {
				p.Provoke.Name = "example.io/stamp"
			}
			if c.fault == "holds objects in memory" {
				p.Store.LargeObject = 512 << 20
			}
			r := check(t, p, c.row)
			if r.Status != plugintest.Failed {
				t.Fatalf("the row %s: %s", r.Status, r.Reason)
			}
			t.Log(r.Err)
		})
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
		if seen[row.ID] || row.ID == "" || row.Name == "" || row.Contract == "" {
			t.Errorf("row %q is incomplete or not the only one of its id", row.ID)
		}
		seen[row.ID] = true
	}
}
