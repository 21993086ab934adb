package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The guide of each provider says what the servers do here, and with which
// versions.
func TestGuideHasTheMatrix(t *testing.T) {
	for _, p := range providers {
		text, err := os.ReadFile(p.guide)
		if err != nil {
			t.Fatal(err)
		}
		want, err := p.matrix()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks this table:\n%s", p.guide, want)
		}
	}
}

// matrix is the table of the checks and servers, in Markdown.
func (p provider) matrix() (string, error) {
	var b strings.Builder
	b.WriteString("| |")
	for _, s := range p.servers {
		version, err := pinned(s.module)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " %s %s |", s.name, version)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(p.servers)) + "\n")
	for _, c := range p.all() {
		fmt.Fprintf(&b, "| %s |", c.name)
		for _, s := range p.servers {
			cell := "yes"
			if l, limited := s.limits[c.name]; limited {
				cell = "no: " + l.reason
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

var (
	release = regexp.MustCompile(`^v\d+\.\d+\.\d+$`)
	commit  = regexp.MustCompile(`^v0\.0\.0-(\d{4})(\d\d)(\d\d)\d{6}-`)
)

// pinned is the version of a module that the test stack builds, for a module
// without releases the date of its commit.
func pinned(module string) (string, error) {
	files, err := filepath.Glob("../stack/tools/*/go.mod")
	if err != nil {
		return "", err
	}
	requirement := regexp.MustCompile(`(?m)^require ` + regexp.QuoteMeta(module) + ` (\S+)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		m := requirement.FindSubmatch(text)
		if m == nil {
			continue
		}
		version := string(m[1])
		if release.MatchString(version) {
			return strings.TrimPrefix(version, "v"), nil
		}
		return commit.ReplaceAllString(version, "$1-$2-$3 ")[:len("2006-01-02")], nil
	}
	return "", fmt.Errorf("no tool of the test stack requires %s", module)
}

// A limit that names no check would never be looked at.
func TestLimitsNameChecks(t *testing.T) {
	for _, p := range providers {
		for _, s := range p.servers {
			for name := range s.limits {
				if !slices.ContainsFunc(p.all(), func(c check) bool { return c.name == name }) {
					t.Errorf("%s: no check is called %q", s.name, name)
				}
			}
		}
	}
}
