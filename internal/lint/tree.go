package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// checkTree compares the tree of folders in CONTRIBUTING.md with the folders
// that there are: it names only those, and all down to the second level.
func checkTree(root string) error {
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		return err
	}
	tree := treeFolders(string(page))
	if len(tree) == 0 {
		return errors.New("CONTRIBUTING.md has no tree of folders")
	}
	files, err := output(root, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	return errors.Join(compareTree(tree, strings.Fields(string(files)))...)
}

// treeFolders returns the folders that the first block of text in the page
// names. A line there is a folder, indented by two spaces for each level above
// it, and what it holds:
//
//	sdk/                 a module of its own
//	  config/            configuration maps
//	  cmd/plugincheck/   a command
func treeFolders(page string) []string {
	_, block, _ := strings.Cut(page, "```text\n")
	block, _, _ = strings.Cut(block, "```")
	var folders, parents []string
	for line := range strings.Lines(block) {
		name, _, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		if !strings.HasSuffix(name, "/") || strings.Contains(name, "<") || depth > len(parents) {
			continue
		}
		parents = append(parents[:depth], strings.TrimSuffix(name, "/"))
		folders = append(folders, path.Join(parents...))
	}
	return folders
}

// compareTree compares the folders of the tree with those of the files.
func compareTree(tree, files []string) []error {
	there := map[string]bool{}
	for _, file := range files {
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			there[dir] = true
		}
	}
	var errs []error
	for _, folder := range tree {
		if !there[folder] {
			errs = append(errs, fmt.Errorf("the tree in CONTRIBUTING.md has %s/, which is not there", folder))
		}
	}
	listed := func(folder string) bool {
		return slices.ContainsFunc(tree, func(t string) bool { return within(t, folder) })
	}
	var folders []string
	for folder := range there {
		folders = append(folders, folder)
	}
	slices.Sort(folders)
	for _, folder := range folders {
		top, below, _ := strings.Cut(folder, "/")
		switch {
		case strings.HasPrefix(top, "."), strings.Contains(below, "/"), path.Base(folder) == "testdata":
		case below != "" && !slices.Contains([]string{"sdk", "internal", "test"}, top):
		case folder != "plugins" && !listed(folder):
			errs = append(errs, fmt.Errorf("the tree in CONTRIBUTING.md lacks %s/", folder))
		}
	}
	return errs
}
