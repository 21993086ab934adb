package kube

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of the Kubernetes API.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// AtLeast reports whether v is the other version or a later one.
func (v Version) AtLeast(other Version) bool {
	return v.Major > other.Major || v.Major == other.Major && v.Minor >= other.Minor
}

// parseVersion reads the fields of an answer to /version. Vendors put a plus
// sign behind the minor version, or leave both to gitVersion.
func parseVersion(major, minor, gitVersion string) (Version, error) {
	text := major + "." + minor
	if major == "" || minor == "" {
		text = strings.TrimPrefix(gitVersion, "v")
	}
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return Version{}, errVersion(text)
	}
	x, xErr := strconv.Atoi(parts[0])
	y, yErr := strconv.Atoi(strings.TrimRight(parts[1], "+"))
	if xErr != nil || yErr != nil {
		return Version{}, errVersion(text)
	}
	return Version{x, y}, nil
}
