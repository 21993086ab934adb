package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imageSwap lets images of the registry of one cluster name the registry of
// another. Which these are, the item's stamps tell.
type imageSwap struct {
	from, to  string // hosts; nothing is swapped if one is unknown
	target    func(namespace string) string
	converted func() conversions // is called for images with a digest only
}

func (a *actions) swapFor(ctx context.Context, r *restore, item *unstructured.Unstructured) imageSwap {
	return imageSwap{
		from:      annotation(item, backupRegistryHostKey),
		to:        annotation(item, restoreRegistryHostKey),
		target:    r.target,
		converted: func() conversions { return a.conversionsFor(ctx, r) },
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

// conversions are the digests of images after their conversion, by those before.
type conversions map[digest.Digest]digest.Digest

// conversionsFor returns the conversions that the bucket of a restore tells of.
// They are looked up once. A workload is restored without them if that fails.
func (a *actions) conversionsFor(ctx context.Context, r *restore) conversions {
	if kept, err := a.migrationRegistry(&r.task); err != nil || kept != bucketRegistry {
		return nil
	}
	found, _ := a.converted.Get(ctx, r.key(), func(ctx context.Context) (conversions, error) { // an error ends the caller, too
		tree, done, err := a.treeToRead(ctx, r)
		if err == nil {
			defer done()
			var found conversions
			if found, err = tree.AllConverted(ctx); err == nil {
				return found, nil
			}
		}
		if ctx.Err() == nil {
			slog.Warn("whether images have other digests than when they were backed up cannot be looked up, and workloads keep those that they had", "error", err)
			err = nil
		}
		return nil, err
	})
	return found
}

// streamsOf returns the image streams of the internal images of a pod that is
// yet to be swapped, if they are to be restored before it.
func (a *actions) streamsOf(r *restore, item *unstructured.Unstructured, spec fields) []sdk.ResourceIdentifier {
	// What is wrong with the settings is an error at image streams.
	kept, err := a.migrationRegistry(&r.task)
	if err != nil || kept == none {
		return nil
	}
	if s, err := a.settings(); err != nil || !s.Bool(imagesFirstSetting) {
		return nil
	}
	var streams []sdk.ResourceIdentifier
	for container := range containers(spec) {
		image := textAt(container, "image")
		namespace, name, ok := strings.Cut(repositoryOf(image), "/")
		if !ok || !isLocal(image, annotation(item, backupRegistryHostKey)) {
			continue
		}
		stream := sdk.ResourceIdentifier{Group: imageGroup, Resource: imageStreams.Resource, Namespace: namespace, Name: name}
		if !slices.Contains(streams, stream) {
			streams = append(streams, stream)
		}
	}
	return streams
}

// isLocal reports whether an image is in the registry of that host.
func isLocal(image, host string) bool {
	found, _, _ := strings.Cut(image, "/")
	return host != "" && found == host
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
