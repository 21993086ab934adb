package openshift

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// changes tells what a restore has made of an object, a line for each field.
func changes(before, after *unstructured.Unstructured) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s", name(before))
	if after == nil {
		out.WriteString(": not there\n")
		return out.String()
	}
	was, is := flatten(before), flatten(after)
	stamp := takeStamps(is)
	paths := maps.Clone(was)
	maps.Copy(paths, is)
	lines := 0
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		old, had := was[path]
		now, has := is[path]
		if old == now {
			continue
		}
		if lines++; lines == 1 {
			out.WriteString(":\n")
		}
		switch {
		case !had:
			fmt.Fprintf(&out, "  + %s: %s\n", path, now)
		case !has:
			fmt.Fprintf(&out, "  - %s: %s\n", path, old)
		default:
			fmt.Fprintf(&out, "    %s: %s -> %s\n", path, old, now)
		}
	}
	switch {
	case lines == 0 && stamp == "":
		out.WriteString(": the same\n")
	case lines == 0:
		out.WriteString(":\n")
	}
	return out.String() + stamp
}

// takeStamps takes the stamps off the fields of an object and returns one line
// for them. The release of the clusters is that of the test stack.
func takeStamps(fields map[string]string) string {
	take := func(key string) string {
		path := "metadata.annotations[openshift.io/" + key + "]"
		defer delete(fields, path)
		return strings.Trim(fields[path], `"`)
	}
	from, to := take("backup-registry-hostname"), take("restore-registry-hostname")
	was, is := take("backup-server-version"), take("restore-server-version")
	switch {
	case from+to+was+is == "":
		return ""
	case was == "" || was != is:
		return fmt.Sprintf("  stamped with the releases %q and %q\n", was, is)
	}
	return fmt.Sprintf("  stamped: %s -> %s\n", from, to)
}

// owned are fields of the API server, of controllers and of Velero, with the
// value of the latter. Nothing else is left out.
var owned = []string{
	"status", "metadata.uid", "metadata.resourceVersion", "metadata.creationTimestamp", "metadata.generation",
	"metadata.managedFields", "metadata.ownerReferences", "metadata.generateName", "metadata.namespace",
	"metadata.labels[velero.io/backup-name]", "metadata.labels[velero.io/restore-name]",
	"metadata.annotations[deployment.kubernetes.io/revision]", "metadata.annotations[deprecated.daemonset.template.generation]",
	"spec.clusterIP", "spec.clusterIPs", "spec.ports[0].nodePort",
	// Which job a pod belongs to is told by the uid of the job.
	"spec.selector.matchLabels[batch.kubernetes.io/controller-uid]", "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]",
	"spec.template.metadata.labels[controller-uid]",
}

// flatten returns the fields of an object by path, with their values in JSON.
func flatten(object *unstructured.Unstructured) map[string]string {
	fields := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if slices.Contains(owned, path) {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(join(path, key), value)
			}
		case []any:
			for i, value := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), value)
			}
		default:
			text, err := json.Marshal(v)
			if err != nil {
				text = []byte(err.Error())
			}
			fields[path] = string(text)
		}
	}
	walk("", object.Object)
	return fields
}

func join(path, key string) string {
	switch {
	case path == "":
		return key
	case strings.ContainsAny(key, "./"), strings.HasSuffix(path, "labels"), strings.HasSuffix(path, "annotations"), strings.HasSuffix(path, "matchLabels"):
		return path + "[" + key + "]"
	}
	return path + "." + key
}
