package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The repository itself has all places and its page names them.
func TestRepositoryHasAllPlaces(t *testing.T) {
	if err := checkPlaces("../.."); err != nil {
		t.Error(err)
	}
	if err := checkTree("../.."); err != nil {
		t.Error(err)
	}
}

func TestMissingPlaces(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plugins/kubevirt/main.go", `p := sdk.New("kubevirt-velero-plugin", version)`)
	write("plugins/azure/main.go", `p := sdk.New("velero-plugin-for-azure", version)`)
	write("Makefile", "PLUGIN_FOLDERS := \\\n\tvelero-plugin-for-microsoft-azure:azure \\\n\tvelero-plugin-for-gcp:gcp\n")
	write("internal/imagebuild/cmd/dockerfiles/main.go", `{"azure"}, {"kubevirt"}`)
	write("README.md", "docs/kubevirt.md")
	write("CONTRIBUTING.md", "`docs/<name>.md`")
	write("docs/azure.md", "")
	write("SECURITY.md", "| (`gcp`) | `TestThere`, `FuzzGone` |")
	write("internal/x/x_test.go", "package x\n\nfunc TestThere(t *testing.T) {}\n")
	write("Dockerfile.kubevirt", "")
	err := checkPlaces(root)
	if err == nil {
		t.Fatal("nothing is missing")
	}
	for _, want := range []string{
		"Makefile does not name :kubevirt",
		"docs/kubevirt.md is missing",
		"Dockerfile.azure is missing",
		"README.md does not name docs/azure.md",
		"internal/azureaccess is missing",
		"test/bench/store/baseline/azure is missing",
		`plugins/azure/main.go does not name sdk.New("velero-plugin-for-microsoft-azure"`,
		"the Makefile has a row for velero-plugin-for-gcp",
		"CONTRIBUTING.md does not name `internal/<cloud>access`",
		"SECURITY.md does not name (`azure`)",
		"SECURITY.md names FuzzGone, which is no test",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not found: %s", want)
		}
	}
	for _, unwanted := range []string{"Dockerfile.kubevirt is", "internal/gcpaccess", "`docs/<name>.md`", "TestThere"} {
		if strings.Contains(err.Error(), unwanted) {
			t.Errorf("reported: %s", unwanted)
		}
	}
}

func TestTree(t *testing.T) {
	tree := treeFolders("text\n```text\nproto/   files\nsdk/     a module\n  config/  maps\n  cmd/check/  a command\nplugins/<name>/  binaries\ntest/   tests\nDockerfile.<name>   image\n```\n")
	if want := []string{"proto", "sdk", "sdk/config", "sdk/cmd/check", "test"}; !slices.Equal(tree, want) {
		t.Fatalf("%q, want %q", tree, want)
	}
	var got []string
	for _, err := range compareTree(tree, []string{
		"go.mod", ".ci/run", "proto/a.proto", "sdk/config/a.go", "sdk/config/deep/a.go", "sdk/cmd/check/main.go", "sdk/testdata/x",
		"plugins/aws/main.go", "test/e2e/a.go", "docs/images/a.png",
	}) {
		got = append(got, err.Error())
	}
	want := []string{"the tree in CONTRIBUTING.md lacks docs/", "the tree in CONTRIBUTING.md lacks test/e2e/"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if errs := compareTree([]string{"gone"}, nil); len(errs) != 1 {
		t.Errorf("a folder that is not there: %v", errs)
	}
}
