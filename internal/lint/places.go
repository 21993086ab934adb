package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// place is a file or a folder that each plugin, or each cloud, has. The page "A
// new cloud" in CONTRIBUTING.md names all places in the form that they have
// here: docs/<cloud>.md.
type place struct {
	path string
	// text is what the file has to contain, "" for no more than the file itself.
	text string
}

// pluginPlaces are the places of a plugin. <name> is its folder below plugins/.
var pluginPlaces = []place{
	{"plugins/<name>/main.go", ""},
	{"Makefile", ":<name>"},
	{"internal/imagebuild/cmd/dockerfiles/main.go", `"<name>"`},
	{"Dockerfile.<name>", ""},
	{"docs/<name>.md", ""},
	{"README.md", "docs/<name>.md"},
}

// cloudPlaces are what the plugin of a cloud has besides.
var cloudPlaces = []place{
	{"internal/<cloud>access", ""},
	{"internal/objectstore/<store>", ""},
	{"internal/snapshots/<snapshotter>", ""},
	{"examples/<cloud>", ""},
	{"test/fakes/<cloud>", ""},
	{"test/bench/store/baseline/<cloud>", ""},
	{"SECURITY.md", "(`<cloud>`)"},
}

// checkPlaces reports what the plugins and clouds lack, and whether the page for
// contributors names each place.
func checkPlaces(root string) error {
	var errs []error
	mains, err := filepath.Glob(filepath.Join(root, "plugins", "*", "main.go"))
	if err != nil {
		return err
	}
	var plugins []string
	for _, main := range mains {
		name := filepath.Base(filepath.Dir(main))
		plugins = append(plugins, name)
		names := strings.NewReplacer("<name>", name)
		for _, p := range pluginPlaces {
			errs = append(errs, p.missing(root, names))
		}
	}
	for _, c := range clouds {
		if !slices.Contains(plugins, c.name) {
			continue // its packages may be there already, and its plugin is still to come
		}
		names := strings.NewReplacer("<cloud>", c.name, "<store>", filepath.Base(c.store), "<snapshotter>", filepath.Base(c.snapshotter))
		for _, p := range cloudPlaces {
			errs = append(errs, p.missing(root, names))
		}
	}
	return errors.Join(append(errs, checkMakefile(root, plugins), checkPage(root), checkSecurityTests(root))...)
}

// missing returns an error if a place is not there.
func (p place) missing(root string, names *strings.Replacer) error {
	name, text := names.Replace(p.path), names.Replace(p.text)
	path := filepath.Join(root, filepath.FromSlash(name))
	if text == "" {
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing; CONTRIBUTING.md says what belongs there", name)
		}
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(content), text) {
		return fmt.Errorf("%s does not name %s; CONTRIBUTING.md says what belongs there", name, text)
	}
	return nil
}

// makefileRow is a row of PLUGIN_FOLDERS, for example
//
//	velero-plugin-for-microsoft-azure:azure \
var makefileRow = regexp.MustCompile(`(?m)^\t([a-z0-9-]+):([a-z0-9-]+)(?: \\)?$`)

// checkMakefile compares the binaries in the Makefile with the names that the
// plugins call themselves.
func checkMakefile(root string, plugins []string) error {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	var errs []error
	for _, row := range makefileRow.FindAllStringSubmatch(string(text), -1) {
		binary, folder := row[1], row[2]
		if !slices.Contains(plugins, folder) {
			errs = append(errs, fmt.Errorf("the Makefile has a row for %s, and there is no plugins/%s/main.go", binary, folder))
			continue
		}
		for _, p := range []place{
			{"plugins/<name>/main.go", `sdk.New("` + binary + `"`},
			{"Dockerfile.<name>", "/" + binary + `"`},
		} {
			errs = append(errs, p.missing(root, strings.NewReplacer("<name>", folder)))
		}
	}
	return errors.Join(errs...)
}

// checkPage makes sure that the page for contributors names each place.
func checkPage(root string) error {
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Concat(pluginPlaces, cloudPlaces) {
		if !strings.Contains(string(text), "`"+p.path+"`") {
			errs = append(errs, fmt.Errorf("CONTRIBUTING.md does not name `%s`", p.path))
		}
	}
	return errors.Join(errs...)
}

// testName is a test or fuzz target in the table of SECURITY.md.
var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")

// checkSecurityTests makes sure that the tests behind SECURITY.md exist.
func checkSecurityTests(root string) error {
	page, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, name := range testName.FindAllStringSubmatch(string(page), -1) {
		missing[name[1]] = true
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for name := range missing {
			if strings.Contains(string(text), "\nfunc "+name+"(") {
				delete(missing, name)
			}
		}
		return err
	})
	errs := []error{err}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		errs = append(errs, fmt.Errorf("SECURITY.md names %s, which is no test", name))
	}
	return errors.Join(errs...)
}
