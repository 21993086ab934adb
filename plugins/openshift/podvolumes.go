package main

import "strings"

// hasVolumes reports whether a pod has volumes whose content a backup may have:
// claims, empty directories and the like, but nothing that is an object of its
// own or belongs to the node.
func hasVolumes(spec fields) bool {
	for volume := range each(listAt(spec, "volumes")) {
		if holdsData(volume) {
			return true
		}
	}
	return false
}

func holdsData(volume fields) bool {
	for _, source := range []string{"hostPath", "secret", "configMap", "projected", "downwardAPI"} {
		if volume[source] != nil {
			return false
		}
	}
	return !strings.HasPrefix(textAt(volume, "name"), "default-token")
}
