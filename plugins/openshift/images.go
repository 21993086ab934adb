package main

import (
	"context"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imageSwap lets images of the registry of one cluster name the registry of
// another. Which these are, the item's stamps tell.
type imageSwap struct {
	from, to  string // hosts; nothing is swapped if one is unknown
	target    func(namespace string) string
	converted func() map[digest.Digest]digest.Digest // is called for images with a digest only
}

func (a *actions) swapFor(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured) imageSwap {
	return imageSwap{
		from:      fields.Annotation(item, api.BackupRegistryHostKey),
		to:        fields.Annotation(item, api.RestoreRegistryHostKey),
		target:    r.TargetNamespace,
		converted: func() map[digest.Digest]digest.Digest { return a.images.Converted(ctx, r) },
	}
}

// image returns the name that an image has after the restore. An image of the
// namespace openshift loses its digest, which that of another release of
// OpenShift does not have; one that was converted has another digest.
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
	if name, old, hasDigest := strings.Cut(rest, "@"); hasDigest {
		if now := s.converted()[digest.Digest(old)]; now != "" {
			rest = name + "@" + now.String()
		}
	}
	return s.to + "/" + s.target(namespace) + "/" + rest
}

// podSpec swaps the images of the containers of a pod.
func (s imageSwap) podSpec(spec fields.Map) {
	for container := range containers(spec) {
		fields.EditText(container, "image", s.image)
	}
}

// internal reports whether a pod has an image of the registry that it is
// restored to.
func (s imageSwap) internal(spec fields.Map) bool {
	for container := range containers(spec) {
		if host, _, _ := strings.Cut(fields.TextAt(container, "image"), "/"); s.to != "" && host == s.to {
			return true
		}
	}
	return false
}

// streamsOf returns the image streams of the internal images of a pod that is
// yet to be swapped, if they are to be restored before it.
func (a *actions) streamsOf(r *velero.Restore, item *unstructured.Unstructured, spec fields.Map) []sdk.ResourceIdentifier {
	// What is wrong with the settings is an error at image streams.
	kept, err := a.images.Registry(&r.Task)
	if err != nil || kept == imagecopy.None {
		return nil
	}
	if s, err := a.settings(); err != nil || !s.Bool(settings.ImagesFirst) {
		return nil
	}
	var streams []sdk.ResourceIdentifier
	for container := range containers(spec) {
		image := fields.TextAt(container, "image")
		namespace, name, ok := strings.Cut(imagecopy.RepositoryOf(image), "/")
		if !ok || !imagecopy.IsLocal(image, fields.Annotation(item, api.BackupRegistryHostKey)) {
			continue
		}
		stream := sdk.ResourceIdentifier{Group: api.ImageGroup, Resource: api.ImageStreams.Resource, Namespace: namespace, Name: name}
		if !slices.Contains(streams, stream) {
			streams = append(streams, stream)
		}
	}
	return streams
}

// containers yields the containers of a pod of every sort.
func containers(spec fields.Map) func(func(fields.Map) bool) {
	return func(yield func(fields.Map) bool) {
		for _, sort := range []string{"initContainers", "containers", "ephemeralContainers"} {
			for container := range fields.Each(fields.ListAt(spec, sort)) {
				if !yield(container) {
					return
				}
			}
		}
	}
}
