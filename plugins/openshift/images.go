package main

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imageSwap lets images of the registry of one cluster name the registry of
// another. Which these are, the item's stamps tell.
type imageSwap struct {
	from, to string // hosts; nothing is swapped if one is unknown
	target   func(namespace string) string
}

func swapFor(item *unstructured.Unstructured, r *restore) imageSwap {
	return imageSwap{annotation(item, backupRegistryHostKey), annotation(item, restoreRegistryHostKey), r.target}
}

// image returns the name that an image has after the restore. An image of the
// namespace openshift loses its digest, which that of another release of
// OpenShift does not have.
func (s imageSwap) image(name string) string {
	host, path, ok := strings.Cut(name, "/")
	if s.from == "" || s.to == "" || !ok || host != s.from {
		return name
	}
	namespace, rest, ok := strings.Cut(path, "/")
	if !ok {
		return s.to + "/" + path
	}
	if namespace == "openshift" {
		if tagged, _, hasDigest := strings.Cut(rest, "@"); hasDigest {
			return s.to + "/openshift/" + tagged
		}
	}
	return s.to + "/" + s.target(namespace) + "/" + rest
}

// podSpec swaps the images of the containers of a pod.
func (s imageSwap) podSpec(spec fields) {
	for container := range containers(spec) {
		editText(container, "image", s.image)
	}
}

// internal reports whether a pod has an image of the registry that it is
// restored to.
func (s imageSwap) internal(spec fields) bool {
	for container := range containers(spec) {
		if host, _, _ := strings.Cut(textAt(container, "image"), "/"); s.to != "" && host == s.to {
			return true
		}
	}
	return false
}

// containers yields the containers of a pod of every sort.
func containers(spec fields) func(func(fields) bool) {
	return func(yield func(fields) bool) {
		for _, sort := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for container := range each(listAt(spec, sort)) {
				if !yield(container) {
					return
				}
			}
		}
	}
}
