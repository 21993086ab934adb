package imagecopy

import (
	"context"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The API refuses a whole image stream if one of its tags refers to an image of a
// stream that does not have it (from: {kind: ImageStreamImage, name:
// app@sha256:...}), or to a tag of a stream that is not there.

// FitReferences changes the tags of a stream that Velero will create without its
// images, so that the API does not refuse the stream. A tag of an image that is
// known by its place elsewhere follows that one: from: {kind: DockerImage, name:
// quay.io/app@sha256:...}. Other tags that refer to an image, and those that
// refer to a stream which is not there, are taken off with a warning: they are
// restored as image stream tags, if the backup has these.
func (i *Images) FitReferences(ctx context.Context, r *velero.Restore, item, original *unstructured.Unstructured) error {
	sources := externalSources(original)
	var kept []any
	var removed []string
	for _, element := range fields.ListAt(item.Object, "spec", "tags") {
		t, _ := element.(fields.Map)
		useExternalSource(t, sources)
		ok, err := i.resolves(ctx, r, item, fields.MapAt(t, "from"))
		if err != nil {
			return err
		}
		if ok {
			kept = append(kept, element)
		} else {
			removed = append(removed, fields.TextAt(t, "name"))
		}
	}
	if removed != nil {
		fields.MapAt(item.Object, "spec")["tags"] = kept
		slog.Warn("tags of an image stream are left to their own image stream tags, since they refer to images or streams that are not there",
			"item", fields.Describe(item), "tags", removed)
	}
	return nil
}

// resolves reports whether what a tag refers to can be there when its stream is
// created.
func (i *Images) resolves(ctx context.Context, r *velero.Restore, stream *unstructured.Unstructured, from fields.Map) (bool, error) {
	switch {
	case fields.TextAt(from, "kind") == "ImageStreamImage":
		return false, nil
	case !refersElsewhere(stream, from):
		return true, nil
	}
	namespace, name, _ := strings.Cut(followedRepository(from, stream.GetNamespace()), "/")
	present, err := i.cluster.Get(ctx, api.ImageStreams, r.TargetNamespace(namespace), name)
	return present != nil, err
}

// externalSources returns where the current images of the tags of a stream are,
// by the names of the tags, if that is not the registry of the cluster.
func externalSources(stream *unstructured.Unstructured) map[string]string {
	host := fields.Annotation(stream, api.BackupRegistryHostKey)
	sources := map[string]string{}
	for t := range fields.Each(fields.ListAt(stream.Object, "status", "tags")) {
		for item := range fields.Each(fields.ListAt(t, "items")) {
			if reference := fields.TextAt(item, "dockerImageReference"); !IsLocal(reference, host) && strings.Contains(reference, "@") {
				sources[fields.TextAt(t, "tag")] = reference
			}
			break
		}
	}
	return sources
}

// useExternalSource lets a tag that refers to an image of a stream refer to the
// place outside of the cluster where that image is.
func useExternalSource(tag fields.Map, sources map[string]string) {
	from := fields.MapAt(tag, "from")
	if source := sources[fields.TextAt(tag, "name")]; source != "" && fields.TextAt(from, "kind") == "ImageStreamImage" {
		tag["from"] = fields.Map{"kind": "DockerImage", "name": source}
	}
}

// withoutForeignTags takes off the tags that refer to other streams, or to
// images by their digests, and returns their names. The API refuses a stream
// that refers to one which is not there yet.
func withoutForeignTags(stream *unstructured.Unstructured) []string {
	var kept []any
	var removed []string
	for _, element := range fields.ListAt(stream.Object, "spec", "tags") {
		t, _ := element.(fields.Map)
		if refersElsewhere(stream, fields.MapAt(t, "from")) {
			removed = append(removed, fields.TextAt(t, "name"))
			continue
		}
		kept = append(kept, element)
	}
	if removed != nil {
		fields.MapAt(stream.Object, "spec")["tags"] = kept
	}
	return removed
}

func refersElsewhere(stream *unstructured.Unstructured, from fields.Map) bool {
	switch fields.TextAt(from, "kind") {
	case "ImageStreamImage":
		return true
	case "ImageStreamTag":
		namespace := fields.TextAt(from, "namespace")
		name, _, named := strings.Cut(fields.TextAt(from, "name"), ":")
		return namespace != "" && namespace != stream.GetNamespace() || named && name != stream.GetName()
	}
	return false
}
