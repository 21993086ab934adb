package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

const (
	// commandVariable makes the test binary the command.
	commandVariable = "PLUGINCHECK_COMMAND"
	// fixtureVariable makes it a plugin with that fault.
	fixtureVariable = "PLUGINCHECK_FIXTURE"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(commandVariable) != "":
		main()
	case os.Getenv(fixtureVariable) != "":
		serve(os.Getenv(fixtureVariable))
	default:
		os.Exit(m.Run())
	}
}

func serve(fault string) {
	if fault == "logs plain text" {
		os.Stderr.WriteString("hello\n")
	}
	p := sdk.New("velero-plugin-for-tests", "v0")
	p.BackupItemAction("example.io/stamp", func(sdk.Host) (sdk.BackupItemAction, error) { return stamp{fault}, nil })
	p.Main()
}

// stamp is an action that accepts secrets only.
type stamp struct{ fault string }

func (stamp) AppliesTo(context.Context, sdk.AppliesToInput) (sdk.Selector, error) {
	return sdk.Selector{IncludedResources: []string{"secrets"}}, nil
}

func (s stamp) Backup(_ context.Context, in sdk.BackupInput) (sdk.BackupResult, error) {
	if in.Item.GetKind() != "Secret" {
		return sdk.BackupResult{}, errors.New("this is no secret")
	}
	if s.fault == "drops unknown fields" {
		delete(in.Item.Object, "xPlugintest")
	}
	slog.Debug("stamped", "resource", in.Item.GetKind())
	return sdk.BackupResult{}, nil
}

// command runs plugincheck in a process of its own, in a folder with the files
// of testdata, and with PLUGINCHECK_FIXTURE set for plugins that inherit it.
type command struct {
	dir, fault string
}

func (c command) run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), commandVariable + "=1", fixtureVariable + "=" + c.fault, "GORACE=atexit_sleep_ms=0"}
	text, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// files has what the configurations in testdata name.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "plugin"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSound checks a plugin without faults and reads all reports.
func TestSound(t *testing.T) {
	t.Parallel()
	dir := files(t)
	code, out := command{dir, "none"}.run(t,
		"plugin", "--config", "sound.yaml", "--json", "r.json", "--junit", "r.xml", "--html", "r.html")
	if code != exitOK || !strings.Contains(out, "all is well") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var r report
	decoder := json.NewDecoder(bytes.NewReader(read("r.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		t.Fatal(err)
	}
	s := r.Summary
	if len(r.Rows) != len(plugintest.Rows()) || s.Passed+s.Skipped+s.NotApplicable != len(r.Rows) || s.Skipped != 1 || s.Passed < 20 {
		t.Errorf("%d rows: %+v", len(r.Rows), s)
	}
	for _, row := range r.Rows {
		if row.Status != passed && row.Reason == "" {
			t.Errorf("%s is %s without a reason", row.ID, row.Status)
		}
		if !strings.Contains(out, row.ID) {
			t.Errorf("the terminal does not show %s", row.ID)
		}
	}
	checkJUnit(t, read("r.xml"), len(r.Rows), 0)
	checkHTML(t, read("r.html"), &r)
}

// TestFaulty checks plugins with faults of both levels.
func TestFaulty(t *testing.T) {
	t.Parallel()
	dir := files(t)
	for _, c := range []struct {
		fault, run, level string
		code              int
		failures          int // in JUnit
	}{
		{"drops unknown fields", "action.result", "must", exitFailed, 1},
		{"drops unknown fields", "action.applies-to", "must", exitOK, 0},
		{"logs plain text", "log.lines", "should", exitFailed, 1},
		{"logs plain text", "log.lines", "must", exitOK, 0},
	} {
		code, out := command{dir, c.fault}.run(t, "--config=sound.yaml", "--run", c.run, "--level", c.level, "--junit=r.xml", "plugin")
		if code != c.code {
			t.Errorf("%+v: exit code %d\n%s", c, code, out)
		}
		text, err := os.ReadFile(filepath.Join(dir, "r.xml"))
		if err != nil {
			t.Fatal(err)
		}
		checkJUnit(t, text, 1, c.failures)
	}
	_, out := command{dir, "drops unknown fields"}.run(t, "--config=sound.yaml", "--run", "action.result", "plugin")
	for _, want := range []string{"FAIL  must", "required    the item that an action returns", "xPlugintest.big was", "effect      fields of the object", "1 failed (1 must, 0 should)"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestNotChecked is about all that keeps the command from checking.
func TestNotChecked(t *testing.T) {
	t.Parallel()
	dir := files(t)
	for _, c := range []struct {
		says string
		args []string
	}{
		{"0 plugins are named", nil},
		{"2 plugins are named", []string{"plugin", "plugin"}},
		{"flag provided but not defined", []string{"--no-such-flag", "plugin"}},
		{`--level is must or should, not "may"`, []string{"--level", "may", "plugin"}},
		{`no row matches "nothing"`, []string{"--run", "nothing", "plugin"}},
		{"--run: error parsing regexp", []string{"--run", "(", "plugin"}},
		{"no such file", []string{"absent"}},
		{"is a directory", []string{"."}},
		{"cannot be started as a plugin", []string{"/bin/true"}},
		{"no such file", []string{"--config", "absent.yaml", "plugin"}},
		{`unknown field "objectStore.buckt"`, []string{"--config", "misspelt.yaml", "plugin"}},
		{`unknown field "stalllimit"`, []string{"--config", "misspelt.yaml", "plugin"}},
		{"objectStore: bucket is missing", []string{"--config", "incomplete.yaml", "plugin"}},
		{"stallLimit: time: invalid duration", []string{"--config", "incomplete.yaml", "plugin"}},
		{"example.io/stamp, item 1: open", []string{"--config", "incomplete.yaml", "plugin"}},
		{"it needs the commands begin and end", []string{"--config", "unbreakable.yaml", "plugin"}},
		{"items: the plugin lists no action example.io/other", []string{"--config", "foreign.yaml", "plugin"}},
		{"operations: the plugin lists no BackupItemActionV2 example.io/stamp", []string{"--config", "foreign.yaml", "plugin"}},
		{`no row "no.such-row"`, []string{"--config", "skips.yaml", "plugin"}},
		{"r.json: no such file or directory", []string{"--config", "sound.yaml", "--run", "start.list", "--json", "absent/r.json", "plugin"}},
	} {
		if code, out := (command{dir, "none"}).run(t, c.args...); code != exitUnchecked || !strings.Contains(out, c.says) {
			t.Errorf("%q: exit code %d, want %q in\n%s", c.args, code, c.says, out)
		}
	}
	if code, out := (command{dir, "none"}).run(t, "--help"); code != exitOK || !strings.Contains(out, "plugincheck [flags] PLUGIN") {
		t.Errorf("--help: exit code %d\n%s", code, out)
	}
}

// TestEnvironment checks that a plugin sees what the configuration gives it and
// nothing else.
func TestEnvironment(t *testing.T) {
	t.Setenv("PLUGINCHECK_A", "a")
	t.Setenv("PLUGINCHECK_B", "b")
	t.Setenv("PATH", "/bin")
	got := strings.Join(environment(map[string]string{"C": "c"}, []string{"PLUGINCHECK_B", "PLUGINCHECK_ABSENT"}), " ")
	if want := "PATH=/bin PLUGINCHECK_B=b C=c"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestListPrintsAllRows(t *testing.T) {
	code, out := command{t.TempDir(), "none"}.run(t, "--list")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, row := range plugintest.Rows() {
		if !strings.Contains(out, row.ID) || !strings.Contains(out, row.Contract) {
			t.Errorf("%s is not in the list", row.ID)
		}
	}
}
