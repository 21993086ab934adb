package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

const (
	marker = "<!-- config: example.io/x BackupStorageLocation -->\n"
	end    = "<!-- end -->\n"
)

func TestReplaceTables(t *testing.T) {
	other := strings.Replace(marker, "Backup", "Other", 1)
	for _, c := range []struct{ what, text, tables, want, err string }{
		{"empty block", "a\n" + marker + end + "b\n", marker + "new\n" + end, "a\n" + marker + "new\n" + end + "b\n", ""},
		{"old table", marker + "old\nold\n" + end + "b", marker + "new $1\n" + end, marker + "new $1\n" + end + "b", ""},
		{"two tables", marker + end + other + end, other + "2\n" + end + "\n" + marker + "1\n" + end, marker + "1\n" + end + other + "2\n" + end, ""},
		{"no tables", "a\n", "", "a\n", ""},
		{"no place", "a\n", marker + "new\n" + end, "", "no place"},
		{"no table", marker + end, "", "", "has no table"},
		{"place twice", marker + end + marker + end, marker + end, "", "no second one"},
	} {
		got, err := replaceTables([]byte(c.text), []byte(c.tables))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.what, got, err, c.want)
		}
	}
}

func TestErrorsPage(t *testing.T) {
	page := errorsPage([]area{{"A", []fault.Code{{ID: "B", Meaning: "m|n", Fix: "f"}, {ID: "A", Meaning: "m", Fix: "f"}}}})
	if text := string(page); !strings.Contains(text, "| `A` | m | f |\n| `B` | m\\|n | f |\n") {
		t.Error(text)
	}
}

// TestCatalogueIsComplete looks for codes in the sources.
func TestCatalogueIsComplete(t *testing.T) {
	known := map[string]bool{}
	for _, a := range catalogue {
		for _, c := range a.codes {
			if known[c.ID] {
				t.Errorf("code %s is listed twice", c.ID)
			}
			known[c.ID] = true
			if c.ID == "" || c.Meaning == "" || c.Fix == "" {
				t.Errorf("code %+v has an empty part", c)
			}
		}
	}
	literal := regexp.MustCompile(`\bCode\{\s*ID:\s*"([^"]+)"`)
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "examples" {
			return fs.SkipDir // vendors have codes of their own
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range literal.FindAllSubmatch(text, -1) {
			found++
			if id := string(m[1]); !known[id] {
				t.Errorf("%s declares code %s, which is not in the catalogue", path, id)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found != len(known) {
		t.Errorf("the catalogue has %d codes, the sources %d", len(known), found)
	}
}
