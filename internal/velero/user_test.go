package velero

import "testing"

// A user pulls from the namespace that OADP has noted and from the public one; an
// administrator from all.
func TestMayPull(t *testing.T) {
	for key, want := range map[string]map[string]bool{
		"other":          {"shop": true, "victim": true, "openshift": true},
		backupOriginKey:  {"shop": true, "victim": false, "openshift": true, "": false, "openshift-config": false},
		restoreOriginKey: {"shop": true, "victim": false, "openshift": true, "": false, "openshift-config": false},
	} {
		var task Task
		task.Metadata.Annotations = map[string]string{key: "shop"}
		for namespace, may := range want {
			if got := task.MayPull(namespace); got != may {
				t.Errorf("%s: %q: %v", key, namespace, got)
			}
		}
	}
}
