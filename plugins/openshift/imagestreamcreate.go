package main

import (
	"context"
	"log/slog"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A push creates an image stream that has nothing but the tag. So the stream is
// created before its images are pushed, with all else that it had.

// bookkeeping are the annotations of a backup that a restored stream does not
// keep. The stamps stay, as they do on every restored object.
var bookkeeping = []string{migrationRegistryKey, imageCopyKey}

func withoutBookkeeping(stream *unstructured.Unstructured) {
	for _, key := range bookkeeping {
		removeAnnotation(stream, key)
	}
}

// newStream returns the stream to create for an item whose images are pushed.
func newStream(r *restore, item *unstructured.Unstructured, p imagePlan) *unstructured.Unstructured {
	stream := &unstructured.Unstructured{Object: fields{
		"apiVersion": imageStreams.GroupVersion().String(),
		"kind":       "ImageStream",
		"metadata":   fields{"name": item.GetName(), "namespace": r.target(item.GetNamespace())},
	}}
	for _, part := range []string{"labels", "annotations"} {
		for key, value := range stringMap(fieldsAt(item.Object, "metadata", part)) {
			setMeta(stream, part, key, value)
		}
	}
	withoutBookkeeping(stream)
	setLabel(stream, veleroBackupLabel, labelValue(r.Spec.BackupName))
	setLabel(stream, veleroRestoreLabel, labelValue(r.Metadata.Name))
	spec := fieldsAt(item.DeepCopy().Object, "spec")
	if spec == nil {
		return stream
	}
	stream.Object["spec"] = spec
	pushed := map[string]bool{}
	for _, t := range p.tags {
		pushed[t.name] = t.pushed
	}
	for t := range each(listAt(spec, "tags")) {
		if pushed[textAt(t, "name")] {
			delete(t, "from") // the image comes with the push
		}
		if from := fieldsAt(t, "from"); from != nil {
			editText(from, "namespace", r.target)
		}
	}
	return stream
}

// ensureStream creates a stream, unless it is there already: then it returns that
// one. A list of the namespace tells, so that a new stream costs one request.
func (a *actions) ensureStream(ctx context.Context, r *restore, stream *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	namespace, name := stream.GetNamespace(), stream.GetName()
	listed, err := a.streamsIn(ctx, &r.task, namespace)
	if err != nil {
		return nil, err
	}
	if listed.names(name) {
		if present, err := a.cluster.Get(ctx, imageStreams, namespace, name); present != nil || err != nil {
			return present, err
		}
	}
	err = a.createStream(ctx, stream)
	if apierrors.IsAlreadyExists(err) {
		return a.cluster.Get(ctx, imageStreams, namespace, name)
	}
	return nil, err
}

func (a *actions) createStream(ctx context.Context, stream *unstructured.Unstructured) error {
	err := a.cluster.Create(ctx, imageStreams, stream.GetNamespace(), stream)
	if !apierrors.IsInvalid(err) {
		return err
	}
	removed := withoutForeignTags(stream)
	if removed == nil {
		return err
	}
	slog.Info("tags that refer to what is not there yet are left to their own image stream tags",
		"item", describe(stream), "tags", removed, "reason", err.Error())
	return a.cluster.Create(ctx, imageStreams, stream.GetNamespace(), stream)
}

// withoutForeignTags takes off the tags that refer to other streams, or to
// images by their digests, and returns their names. The API refuses a stream
// that refers to one which is not there yet.
func withoutForeignTags(stream *unstructured.Unstructured) []string {
	var kept []any
	var removed []string
	for _, element := range listAt(stream.Object, "spec", "tags") {
		t, _ := element.(fields)
		if refersElsewhere(stream, fieldsAt(t, "from")) {
			removed = append(removed, textAt(t, "name"))
			continue
		}
		kept = append(kept, element)
	}
	if removed != nil {
		fieldsAt(stream.Object, "spec")["tags"] = kept
	}
	return removed
}

func refersElsewhere(stream *unstructured.Unstructured, from fields) bool {
	switch textAt(from, "kind") {
	case "ImageStreamImage":
		return true
	case "ImageStreamTag":
		namespace := textAt(from, "namespace")
		name, _, named := strings.Cut(textAt(from, "name"), ":")
		return namespace != "" && namespace != stream.GetNamespace() || named && name != stream.GetName()
	}
	return false
}
