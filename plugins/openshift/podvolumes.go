package main

import (
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
)

// hasVolumes reports whether a pod has volumes whose content a backup may have:
// claims, empty directories and the like, but nothing that is an object of its
// own or belongs to the node.
func hasVolumes(spec fields.Map) bool {
	for volume := range fields.Each(fields.ListAt(spec, "volumes")) {
		if holdsData(volume) {
			return true
		}
	}
	return false
}

func holdsData(volume fields.Map) bool {
	for _, source := range []string{"hostPath", "secret", "configMap", "projected", "downwardAPI"} {
		if volume[source] != nil {
			return false
		}
	}
	return !strings.HasPrefix(fields.TextAt(volume, "name"), "default-token")
}
