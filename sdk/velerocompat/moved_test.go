package velerocompat_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// binaries are the plugin in testdata/oldplugin, served by Velero's framework
// and by the SDK.
type binaries struct{ framework, moved string }

var dir string // of the binaries

func TestMain(m *testing.M) {
	var err error
	if dir, err = os.MkdirTemp("", "oldplugin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds both binaries once.
var build = sync.OnceValues(func() (binaries, error) {
	// Files that the test itself reads count for its cached result.
	entries, err := os.ReadDir(source)
	if err != nil {
		return binaries{}, err
	}
	moved := []string{"-modfile=moved.mod"}
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".go") && name != "main_framework.go" {
			moved = append(moved, name)
		}
	}
	b := binaries{filepath.Join(dir, "framework"), filepath.Join(dir, "moved")}
	if err := goBuild(b.framework, "."); err != nil {
		return b, err
	}
	return b, goBuild(b.moved, moved...)
})

const source = "testdata/oldplugin"

func goBuild(target string, args ...string) error {
	command := exec.Command("go", append([]string{"build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", target}, args...)...)
	command.Dir, command.Env = source, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return nil
}

func built(t *testing.T) binaries {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMainIsAllThatDiffers compares the two main files.
func TestMainIsAllThatDiffers(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var lines []string
	moved := strings.Split(read("main_moved.go"), "\n")
	for line := range strings.SplitSeq(read("main_framework.go"), "\n") {
		if !slices.Contains(moved, line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	want := []string{`"github.com/vmware-tanzu/velero/pkg/plugin/framework"`, "framework.NewServer()."}
	if !slices.Equal(lines, want) {
		t.Errorf("lines of the framework's main that the other one has not: %q", lines)
	}
}

// plugin returns what the conformance suite needs to know of a binary.
func plugin(t *testing.T, path string) plugintest.Plugin {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.HandlerFunc(serveSigned))
	t.Cleanup(files.Close)
	pod := func(do string) json.RawMessage { return json.RawMessage(pod(do)) }
	return plugintest.Plugin{
		Path: path,
		Env: append(os.Environ(), "OADP_PLUGIN_CLIENT_TIMEOUT=3s", "OADP_PLUGIN_DISCONNECT_GRACE=1s",
			"OADP_PLUGIN_STALL_TIMEOUT=1s"),
		StallLimit: time.Second,
		Store: &plugintest.StoreConfig{
			Config:      map[string]string{"root": root, "url": files.URL},
			Bucket:      "bucket",
			LargeObject: 64 << 20,
		},
		Provoke: &plugintest.Provocation{
			Kind: "BackupItemAction", Name: "example.io/backup",
			Panics: map[string]json.RawMessage{"on purpose": pod("panic")},
		},
	}
}

func serveSigned(w http.ResponseWriter, r *http.Request) {
	file, until := r.FormValue("file"), r.FormValue("until")
	mac := hmac.New(sha256.New, []byte("of the tests' file server"))
	fmt.Fprintf(mac, "%s %s", file, until)
	end, err := strconv.ParseInt(until, 10, 64)
	if err != nil || r.FormValue("signature") != hex.EncodeToString(mac.Sum(nil)) || time.Now().UnixMilli() > end {
		http.Error(w, "expired", http.StatusForbidden)
		return
	}
	http.ServeFile(w, r, file)
}

// gained are rows that a plugin on the framework fails within seconds. So it
// does end.host-killed, end.connection-lost and end.no-client, in minutes.
var gained = []string{
	"start.log-level", "start.read-only", "start.long-tmpdir", "end.sigterm", "action.large-item",
	"store.large-message", "fault.put-refused", "fault.get-stalled",
}

// TestFramework shows what is to be gained.
func TestFramework(t *testing.T) {
	t.Parallel()
	p := plugin(t, built(t).framework)
	p.Skip = map[string]string{}
	for _, row := range plugintest.Rows() {
		if !slices.Contains(gained, row.ID) {
			p.Skip[row.ID] = "the framework passes the row, or fails it after a long wait"
		}
	}
	suite, err := plugintest.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer suite.Close()
	for _, row := range plugintest.Rows() {
		switch r := suite.Check(t.Context(), row); r.Status {
		case plugintest.Passed:
			t.Errorf("%s passes, so nothing is gained", row.ID)
		case plugintest.NotApplicable:
			t.Logf("%s is not compared: %s", row.ID, r.Reason)
		}
	}
}

// TestMoved passes all rows, those of gained among them.
func TestMoved(t *testing.T) {
	t.Parallel()
	plugintest.Run(t, plugin(t, built(t).moved))
}

func pod(do string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","labels":{"do":"` + do + `"}},` +
		`"spec":{"unknown":[9007199254740993,0.5,null,"<&>"]}}`
}
