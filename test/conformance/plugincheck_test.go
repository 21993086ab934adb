package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// verdict is what the tests read of plugincheck's JSON report.
type verdict struct {
	Rows []struct {
		ID, Level, Status, Reason, Found, Stderr string
	}
}

// ids returns the rows in a state.
func (v verdict) ids(status string) []string {
	var ids []string
	for _, row := range v.Rows {
		if row.Status == status {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// plugincheck checks a plugin with the command and a configuration made from a
// file in testdata. It returns the exit code and the report.
func plugincheck(t *testing.T, plugin, config string, values any, args ...string) (int, verdict) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	args = append(args, "--config", fill(t, config, values), "--json", file, plugin)
	command := exec.Command(build(t, "plugincheck", "./sdk/cmd/plugincheck"), args...)
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var v verdict
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return command.ProcessState.ExitCode(), v
}

// fill makes a configuration from a template in testdata.
func fill(t *testing.T, name string, values any) string {
	t.Helper()
	var text bytes.Buffer
	if err := template.Must(template.ParseFiles(filepath.Join("testdata", name))).Execute(&text, values); err != nil {
		t.Fatal(err)
	}
	return write(t, name, text.String())
}

// TestStores checks the plugin of each provider with a server of its protocol over
// plain HTTP: nothing fails, and what is about object stores applies.
func TestStores(t *testing.T) {
	t.Parallel()
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			code, v := plugincheck(t, build(t, p.binary, "./plugins/"+p.name), p.name+".yaml", p.newLocation(t))
			if failed := v.ids("failed"); code != 0 || len(failed) > 0 {
				t.Errorf("exit code %d, failed: %v", code, failed)
			}
			for _, row := range v.Rows {
				group, _, _ := strings.Cut(row.ID, ".")
				if row.Status == "notApplicable" && (row.Reason == "" || slices.Contains([]string{"start", "end", "store", "list"}, group)) {
					t.Errorf("%s is not checked: %s", row.ID, row.Reason)
				}
			}
		})
	}
}

// TestBaselines checks plugins on Velero's own framework, which meet what every
// plugin must and have known weaknesses: the rows can fail.
func TestBaselines(t *testing.T) {
	t.Parallel()
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			code, v := plugincheck(t, buildBaseline(t, p.name), p.name+"-baseline.yaml", p.newLocation(t))
			if failed := v.ids("failed"); code != 1 || !slices.Equal(failed, p.baselineFails) {
				t.Errorf("exit code %d, failed:\n%q, want:\n%q", code, failed, p.baselineFails)
			}
		})
	}
}

// buildBaseline builds the plugin that the benchmarks compare a provider's with.
// It is in a module of its own, with the dependencies of such plugins.
func buildBaseline(t *testing.T, provider string) string {
	t.Helper()
	path := filepath.Join(servers.Dir(), provider+"-baseline")
	command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./baseline/"+provider)
	command.Dir = "../bench/store"
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\nwithout a network, build it once before: cd test/bench/store && GOWORK=off go build -o /dev/null ./baseline/...", command, err, out)
	}
	return path
}

// TestNode checks a plugin that shares no code with the SDK.
func TestNode(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("the plugin in another language is not checked: node is not in PATH; install Node.js 20 or later")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "buckets", "velero"), 0o700); err != nil {
		t.Fatal(err)
	}
	plugin, err := filepath.Abs("testdata/node-plugin/velero-plugin-for-node.mjs")
	if err != nil {
		t.Fatal(err)
	}
	code, v := plugincheck(t, plugin, "node.yaml", root, "--level", plugintest.Must.String())
	for _, row := range v.Rows {
		if row.Status == "failed" && row.Level == plugintest.Must.String() {
			t.Errorf("%s: %s", row.ID, row.Found)
		}
	}
	if passed := v.ids("passed"); code != 0 || len(passed) < 40 {
		t.Errorf("exit code %d, %d rows passed", code, len(passed))
	}
}
