package tools

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestVersionFits(t *testing.T) {
	for _, c := range []struct {
		found, want version
		fits        bool
	}{
		{version{1, 36, 3}, version{1, 36, 3}, true},
		{version{1, 36, 4}, version{1, 36, 3}, true},
		{version{1, 36, 2}, version{1, 36, 3}, false},
		{version{1, 37, 3}, version{1, 36, 3}, false},
		{version{2, 36, 3}, version{1, 36, 3}, false},
		{version{2026, 2, 12, 20, 18, 48}, version{2026, 2, 12, 20, 18, 48}, true},
		{version{2026, 3, 1, 0, 0, 0}, version{2026, 2, 12, 20, 18, 48}, true},
		{version{2025, 9, 30, 23, 59, 59}, version{2026, 2, 12, 20, 18, 48}, false},
		{version{1, 36, 3}, version{2026, 2, 12, 20, 18, 48}, false},
	} {
		if got := c.found.fits(c.want); got != c.fits {
			t.Errorf("%v fits %v: %t", c.found, c.want, got)
		}
	}
}

// An installed binary is asked for its version and used only if that fits.
func TestInstalledBinaries(t *testing.T) {
	for _, c := range []struct {
		tool    Tool
		output  string
		fitting bool
	}{
		{MinIO, "minio version RELEASE.2099-01-01T00-00-00Z (commit-id=x)", true},
		{MinIO, "minio version RELEASE.2020-01-01T00-00-00Z (commit-id=x)", false},
		{MinIO, "minio version DEVELOPMENT.GOGET (commit-id=x)", false},
		{Velero, "Client:\n\tVersion: v1.18.99\n\tGit commit: -", true},
		{Registry, "/opt/3.1.0/registry github.com/distribution/distribution/v3 v3.1.99+unknown", true},
		{Registry, "/opt/3.1.99/registry github.com/distribution/distribution/v3 v3.0.0+unknown", false},
		{Registry, "registry github.com/docker/distribution v2.8.3", false},
		{Velero, "Client:\n\tVersion: v1.17.0\n\tGit commit: -", false},
	} {
		src, err := openSource(c.tool)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		program := src.programs[0].name
		path := filepath.Join(dir, string(program))
		script := "#!/bin/sh\ncat <<'END'\n" + c.output + "\nEND\n"
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv(BinEnv, dir)
		t.Setenv("PATH", "")
		var said bytes.Buffer
		found := installed(t.Context(), &said, src)
		if fitting := found != nil; fitting != c.fitting {
			t.Errorf("%q: used: %t; said %q", c.output, fitting, &said)
		}
		if found != nil && found[program][0] != path {
			t.Errorf("command %v", found[program])
		}
		if found == nil && !strings.Contains(said.String(), path) {
			t.Errorf("%q is refused without a word: %q", c.output, &said)
		}
	}
}

// The version of a CSI sidecar is not taken from the path that it prints before.
func TestVersionOfASidecar(t *testing.T) {
	found, err := parseVersion(sidecarLine, "/opt/v7.0.0/csi-snapshotter v8.6.0\n")
	if err != nil || !slices.Equal(found, version{8, 6, 0}) {
		t.Errorf("version %v, %v", found, err)
	}
}

func TestStampsFollowThePins(t *testing.T) {
	for _, tool := range All() {
		src, err := openSource(tool)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range src.programs {
			if src.debian == "" && !src.npm && len(src.versions[p.name]) == 0 {
				t.Errorf("%s has no version", p.name)
			}
		}
	}
}

// A machine that has no runc and no way to get it keeps the tests that need none.
func TestMissingRuncIsLeftOut(t *testing.T) {
	t.Setenv(BinEnv, "")
	t.Setenv("PATH", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var said bytes.Buffer
	commands, err := Ensure(t.Context(), &said, Runc)
	if err != nil || commands[RuncCLI] != nil {
		t.Errorf("command %v, error %v", commands[RuncCLI], err)
	}
	if !strings.Contains(said.String(), "no runc, and no tests that need it") {
		t.Errorf("said %q", &said)
	}
}

// Without npm, or without the network at the first time, the tests that need
// Azurite are left out, and the program says so.
func TestMissingAzuriteIsLeftOut(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var said bytes.Buffer
	commands, err := Ensure(t.Context(), &said, Azurite)
	if err != nil || commands[AzuriteBlob] != nil {
		t.Errorf("command %v, error %v", commands[AzuriteBlob], err)
	}
	if !strings.Contains(said.String(), "no azurite, and no tests that need it") {
		t.Errorf("said %q", &said)
	}
}

func toolIn(module string) source {
	programs := []programDefinition{{name: "tool", pkg: "."}}
	return source{definition: definition{tool: "tool", programs: programs}, root: module, key: "key"}
}

// Processes that start together build once and all find the result.
func TestConcurrentBuildsBuildOnce(t *testing.T) {
	module := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/tool\n\ngo 1.26.0\n",
		"main.go": "package main\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(t.TempDir(), "cache")
	src := toolIn(module)
	outputs := make([]bytes.Buffer, 3)
	failures := make([]error, len(outputs))
	var builders sync.WaitGroup
	for i := range outputs {
		builders.Go(func() { failures[i] = buildMissing(t.Context(), &outputs[i], root, []source{src}) })
	}
	builders.Wait()
	built := 0
	for i := range outputs {
		if failures[i] != nil {
			t.Error(failures[i])
		}
		built += strings.Count(outputs[i].String(), "building tool")
	}
	if built != 1 {
		t.Errorf("built %d times", built)
	}
	if _, err := os.Stat(src.binary(root, ".")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "gocache")); err == nil {
		t.Error("the build cache is left")
	}
}

func TestFailedBuildTellsWhy(t *testing.T) {
	module := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module example.com/tool\n\ngo 1.26.0\n",
		"main.go": "package main\n\nfunc main() { undefinedFunction() }\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := toolIn(module)
	err := buildMissing(t.Context(), &bytes.Buffer{}, t.TempDir(), []source{src})
	if err == nil || !strings.Contains(fmt.Sprint(err), "undefinedFunction") {
		t.Errorf("error %v", err)
	}
}
