// Docgen writes the generated parts of docs/: the list of error codes, the list of
// environment variables, the tables of configuration keys in the guides of the plugins, and the
// requirements that plugincheck checks.
//
//	go run ./internal/docgen [-check]
//
// The table of a store stands between two lines,
//
//	<!-- config: velero.io/aws BackupStorageLocation -->
//	<!-- end -->
//
// in docs/NAME.md for plugins/NAME. The plugin itself prints it. Between
// <!-- rows: plugincheck --> and the same end is what plugincheck prints.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/oadp-plugins/oadp-plugins/internal/generated"
)

func main() {
	check := flag.Bool("check", false, "fail when a file is not up to date; write nothing")
	flag.Parse()
	if err := run(".", *check); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	docs := filepath.Join(root, "docs")
	errs := []error{
		generated.Write(filepath.Join(docs, "errors.md"), errorsPage(catalogue), check),
		generated.Write(filepath.Join(docs, "settings.md"), settingsPage(allVariables()), check),
	}
	plugins, err := filepath.Glob(filepath.Join(root, "plugins", "*", "main.go"))
	if err != nil {
		return err
	}
	for _, main := range plugins {
		dir := filepath.Dir(main)
		errs = append(errs, updateGuide(filepath.Join(docs, filepath.Base(dir)+".md"), check, dir, "config", "--markdown"))
	}
	errs = append(errs, updateGuide(filepath.Join(docs, "plugincheck.md"), check, "sdk/cmd/plugincheck", "--list", "--markdown"))
	return errors.Join(errs...)
}

// updateGuide brings the tables in a guide up to date with what a program of
// ours prints.
func updateGuide(guide string, check bool, program string, args ...string) error {
	cmd := exec.Command("go", append([]string{"run", "./" + filepath.ToSlash(program)}, args...)...)
	cmd.Stderr = os.Stderr
	tables, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("asking %s for its tables: %w", program, err)
	}
	text, err := os.ReadFile(guide)
	if errors.Is(err, os.ErrNotExist) && len(tables) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	text, err = replaceTables(text, tables)
	if err != nil {
		return fmt.Errorf("%s: %w", guide, err)
	}
	return generated.Write(guide, text, check)
}
