package tools

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// version is the numbers of a release: major, minor, patch, or for MinIO,
// which has no such numbers, its date and time.
type version []int

func (v version) String() string {
	parts := make([]string, len(v))
	for i, n := range v {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, ".")
}

// fits reports whether v can stand in for want: the same minor release with at
// least the same patch, or a date that is not earlier.
func (v version) fits(want version) bool {
	if len(v) != len(want) {
		return false
	}
	dated := len(want) != 3
	for i := range v {
		switch {
		case v[i] == want[i]:
		case v[i] > want[i] && (dated || i == 2):
			return true
		default:
			return false
		}
	}
	return true
}

var (
	semver  = regexp.MustCompile(`v?(\d+)\.(\d+)\.(\d+)`)
	release = regexp.MustCompile(`RELEASE\.(\d{4})-(\d\d)-(\d\d)T(\d\d)-(\d\d)-(\d\d)Z`)
	// Of the CSI sidecars, which print their own path before their version.
	sidecarLine = regexp.MustCompile(` v(\d+)\.(\d+)\.(\d+)\s*$`)
	// Of the registry, which prints its own path before its version.
	distribution = regexp.MustCompile(`github\.com/\S*/distribution\S* v(\d+)\.(\d+)\.(\d+)`)
	pseudo       = regexp.MustCompile(`-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-[0-9a-f]{12}$`)
)

func parseVersion(pattern *regexp.Regexp, text string) (version, error) {
	match := pattern.FindStringSubmatch(text)
	if match == nil {
		return nil, fmt.Errorf("no version in %q", firstLine(text))
	}
	v := make(version, 0, len(match)-1)
	for _, digits := range match[1:] {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, err
		}
		v = append(v, n)
	}
	return v, nil
}

// probe asks a program for its version.
func (p programDefinition) probe(ctx context.Context, argv []string) (version, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], slices.Concat(argv[1:], p.asked)...)
	cmd.Env = []string{"HOME=/nonexistent"}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("asked for its version: %w", err)
	}
	return parseVersion(p.printed, string(out))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
