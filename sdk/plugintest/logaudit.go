package plugintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	longestLine = 64 << 10 // longer ones reach the host's log in pieces
	// timestampLayout is the only form of a time that hosts read.
	timestampLayout = "2006-01-02T15:04:05.000000Z07:00"
)

// auditLog checks the lines that a plugin has written to stderr: the host
// parses each, and some mistakes end the host's process.
func auditLog(stderr []byte) error {
	var errs []error
	for line := range strings.Lines(string(stderr)) {
		if err := auditLine(strings.TrimSuffix(line, "\n")); err != nil {
			errs = append(errs, fmt.Errorf("%w: %.300s", err, line))
		}
	}
	return errors.Join(errs...)
}

func auditLine(line string) error {
	if len(line) >= longestLine {
		return fmt.Errorf("a line of %d bytes", len(line))
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return errors.New("a line that is no JSON object")
	}
	for _, key := range []string{"@message", "@level", "@timestamp", "name", "namespace", "resource"} {
		if value, ok := fields[key]; ok {
			if _, text := value.(string); !text {
				return fmt.Errorf("field %s is no string", key)
			}
		}
	}
	level, _ := fields["@level"].(string)
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, level) {
		return fmt.Errorf("level %q", level)
	}
	if _, ok := fields["@message"]; !ok {
		return errors.New("no @message")
	}
	if stamp, ok := fields["@timestamp"].(string); ok {
		if _, err := time.Parse(timestampLayout, stamp); err != nil {
			return fmt.Errorf("@timestamp %q", stamp)
		}
	}
	return nil
}

// errorLines returns the lines that a host logs as errors.
func errorLines(stderr []byte) []string {
	var found []string
	for line := range strings.Lines(string(stderr)) {
		var entry struct {
			Level string `json:"@level"`
		}
		// The host takes the level of a line that is not JSON from its prefix, such as [ERROR].
		_ = json.Unmarshal([]byte(line), &entry)
		if entry.Level == "error" || strings.HasPrefix(line, "[ERROR]") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
