// Package testfile writes files for tests, such as credentials files.
package testfile

import (
	"os"
	"path/filepath"
	"testing"
)

// Write writes a file that only its owner reads, in a folder of its own that goes
// when the test ends, and returns its path.
func Write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
