// Package generated writes the files that make generate makes, and finds those
// that are out of date.
package generated

import (
	"bytes"
	"fmt"
	"os"
)

// Write writes a file unless it has that content already. With check it writes
// nothing, and a file with other content is an error that says what to do.
func Write(name string, content []byte, check bool) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is not up to date: run make generate", name)
	}
	return os.WriteFile(name, content, 0o644)
}
