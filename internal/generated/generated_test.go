package generated

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteFindsFilesThatAreOutOfDate(t *testing.T) {
	name, content := filepath.Join(t.TempDir(), "errors.md"), []byte("content")
	if err := Write(name, content, true); err == nil {
		t.Error("an absent file counts as up to date")
	}
	if err := Write(name, content, false); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, content, true); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(name, []byte("content\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, content, true); err == nil || !strings.Contains(err.Error(), "make generate") {
		t.Errorf("a file with other content: %v", err)
	}
}
