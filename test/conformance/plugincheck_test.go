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
	"github.com/oadp-plugins/oadp-plugins/test/stack"
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

// location is how to reach a bucket of MinIO.
type location struct{ Region, Endpoint, Bucket, Credentials string }

func newLocation(t *testing.T) location {
	minio := servers.MinIO(t)
	return location{stack.Region, minio.Endpoint, minio.NewBucket(t), credentialsFile(t, minio.AccessKey, minio.SecretKey)}
}

// TestAWS checks the plugin with MinIO over plain HTTP: nothing fails, and what
// is about object stores applies.
func TestAWS(t *testing.T) {
	t.Parallel()
	code, v := plugincheck(t, build(t, "velero-plugin-for-aws", "./plugins/aws"), "aws.yaml", newLocation(t))
	if failed := v.ids("failed"); code != 0 || len(failed) > 0 {
		t.Errorf("exit code %d, failed: %v", code, failed)
	}
	for _, row := range v.Rows {
		group, _, _ := strings.Cut(row.ID, ".")
		if row.Status == "notApplicable" && (row.Reason == "" || slices.Contains([]string{"start", "end", "store", "list"}, group)) {
			t.Errorf("%s is not checked: %s", row.ID, row.Reason)
		}
	}
}

// TestStock checks a plugin on Velero's own framework, which meets what every
// plugin must and has known weaknesses: the rows can fail.
func TestStock(t *testing.T) {
	t.Parallel()
	code, v := plugincheck(t, buildStock(t), "stock.yaml", newLocation(t))
	want := []string{
		"start.log-level",     // ends at an unknown level
		"start.read-only",     // needs a socket file
		"start.long-tmpdir",   // the same
		"end.sigterm",         // leaves its socket
		"store.large-message", // takes 4 MiB
		"store.init-leak",     // keeps the connections of each Init
		"store.bad-config",    // takes unknown keys
		"fault.put-refused",   // answers before the upload has ended
		"fault.get-stalled",   // waits for ever
		"end.host-killed",     // does not notice
		"end.connection-lost", // the same
	}
	if failed := v.ids("failed"); code != 1 || !slices.Equal(failed, want) {
		t.Errorf("exit code %d, failed:\n%q, want:\n%q", code, failed, want)
	}
}

// buildStock builds the plugin that the benchmarks compare with. It is in a
// module of its own, with the dependencies of such plugins.
func buildStock(t *testing.T) string {
	t.Helper()
	path := filepath.Join(servers.Dir(), "stock")
	command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./baseline/aws")
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
