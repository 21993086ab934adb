package conformance

import (
	"os"
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
