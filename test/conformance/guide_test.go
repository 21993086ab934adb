package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// TestGuideMapsCases checks that the guide to plugincheck names each row once
// among the cases, and no others.
func TestGuideMapsCases(t *testing.T) {
	text, err := os.ReadFile("../../docs/plugincheck.md")
	if err != nil {
		t.Fatal(err)
	}
	_, cases, _ := strings.Cut(string(text), "\n## Cases\n")
	cases, _, _ = strings.Cut(cases, "\n## ")
	named := map[string]int{}
	for _, match := range regexp.MustCompile("`([a-z]+\\.[a-z-]+)`").FindAllStringSubmatch(cases, -1) {
		named[match[1]]++
	}
	for _, row := range plugintest.Rows() {
		if named[row.ID] != 1 {
			t.Errorf("the row %s is named %d times", row.ID, named[row.ID])
		}
		delete(named, row.ID)
	}
	for id := range named {
		t.Errorf("there is no row %s", id)
	}
}

// TestGuideExample hands the example of the guide to the command. The aws plugin
// has no actions, which the command sees when all else is read and understood.
func TestGuideExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/plugincheck.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	file := write(t, "plugincheck.yaml", example)
	for name, content := range map[string]string{
		"cloud": "", "ca.pem": string(servers.MinIO(t).CAPEM), "pv.yaml": "kind: PersistentVolume", "pod.yaml": "kind: Pod", "claim.yaml": "{}",
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(build(t, "plugincheck", "./sdk/cmd/plugincheck"), "--config", file, build(t, "velero-plugin-for-aws", "./plugins/aws"))
	out, _ := command.CombinedOutput() // it ends with an error, which the output tells
	if command.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "items: the plugin lists no action example.io/stamp") {
		t.Errorf("exit code %d: %s", command.ProcessState.ExitCode(), out)
	}
}
