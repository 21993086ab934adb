// Lint checks what a reviewer should not have to: formatting, vet, staticcheck,
// known vulnerabilities, the direction of imports and the freshness of generated
// files. It runs from the root of the repository.
//
//	go run ./internal/lint
//
// The linters are pinned in internal/lint/tools.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// errSkipped is the outcome of a step that cannot run here.
var errSkipped = errors.New("not run")

func main() {
	modules, err := findModules(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(1)
	}
	steps := []struct {
		name string
		run  func() error
	}{
		{"gofmt", gofmt},
		{"imports", checkImports},
		{"places of plugins and clouds", func() error { return checkPlaces(".") }},
		{"tree of folders in CONTRIBUTING.md", func() error { return checkTree(".") }},
		{"generated Dockerfiles", func() error { return run(".", "go", "run", "./internal/imagebuild/cmd/dockerfiles", "-check") }},
		{"generated code", func() error { return run(".", "go", "run", "./internal/abigen", "-check") }},
		{"generated documentation", func() error { return run(".", "go", "run", "./internal/docgen", "-check") }},
		{"go vet", func() error { return inEach(modules, "go", "vet", "./...") }},
		{"staticcheck", func() error { return tool(modules, "staticcheck", "./...") }},
		{"govulncheck", func() error { return govulncheck(modules) }},
	}
	failed := false
	for _, step := range steps {
		start := time.Now()
		err := step.run()
		took := time.Since(start).Round(100 * time.Millisecond)
		switch {
		case errors.Is(err, errSkipped):
			fmt.Printf("skip  %s: %v\n", step.name, err)
		case err != nil:
			failed = true
			fmt.Printf("FAIL  %s (%s)\n%s\n", step.name, took, indent(err.Error()))
		default:
			fmt.Printf("ok    %s (%s)\n", step.name, took)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
}

// findModules returns the folders of the modules that are checked: all but those
// that only pin programs to build, or old releases to test with.
func findModules(root string) ([]string, error) {
	var modules []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"tools", "hosts", "testdata", ".git"}, d.Name()):
			return fs.SkipDir
		case d.Name() == "go.mod":
			modules = append(modules, filepath.Dir(path))
		}
		return nil
	})
	return modules, err
}

func gofmt() error {
	out, err := output(".", "gofmt", "-l", "-s", ".")
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("not formatted, run gofmt -s -w:\n%s", out)
	}
	return err
}

func checkImports() error {
	var packages []goPackage
	for _, dir := range []string{".", "sdk"} {
		list, err := listPackages(dir)
		if err != nil {
			return err
		}
		packages = append(packages, list...)
	}
	if found := append(violations(packages), providersWithoutCloud(packages)...); found != nil {
		return errors.New(strings.Join(found, "\n"))
	}
	return nil
}

// listPackages returns the packages of a module and all that they depend on.
func listPackages(dir string) ([]goPackage, error) {
	out, err := output(dir, "go", "list", "-deps", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return nil, err
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the output of go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// govulncheck looks up known vulnerabilities, for which it needs the database
// on the network. Only a database out of reach is a reason to go on without.
func govulncheck(modules []string) error {
	database := os.Getenv("GOVULNDB")
	if database == "" {
		database = "https://vuln.go.dev"
	}
	if strings.HasPrefix(database, "http") {
		if err := reach(database + "/index/db.json"); err != nil {
			return fmt.Errorf("%w, since the database of known vulnerabilities cannot be reached: %v", errSkipped, err)
		}
	}
	return tool(modules, "govulncheck", "./...")
}

func reach(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// tool runs one of the pinned linters in each module.
func tool(modules []string, name string, args ...string) error {
	path, err := output(filepath.Join("internal", "lint", "tools"), "go", "tool", "-n", name)
	if err != nil {
		return err
	}
	return inEach(modules, strings.TrimSpace(string(path)), args...)
}

func inEach(modules []string, name string, args ...string) error {
	var errs []error
	for _, dir := range modules {
		errs = append(errs, run(dir, name, args...))
	}
	return errors.Join(errs...)
}

func run(dir, name string, args ...string) error {
	_, err := output(dir, name, args...)
	return err
}

// output runs a program in a folder. Its error has all that the program
// printed.
func output(dir, name string, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errOut
	if !inWorkspace(dir) {
		cmd.Env = append(os.Environ(), "GOWORK=off")
	}
	if err := cmd.Run(); err != nil {
		command := strings.Join(append([]string{filepath.Base(name)}, args...), " ")
		return nil, fmt.Errorf("%s in %s: %w\n%s%s", command, dir, err, out.Bytes(), errOut.Bytes())
	}
	return out.Bytes(), nil
}

// inWorkspace reports whether a folder is a module of go.work. Other modules
// stand alone.
func inWorkspace(dir string) bool {
	switch filepath.Base(filepath.Clean(dir)) {
	case ".", "sdk":
		return true
	}
	return false
}
