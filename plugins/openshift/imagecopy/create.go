package imagecopy

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A push creates an image stream that has nothing but the tag. So the stream is
// created before its images are pushed, with all else that it had.

// newStream returns the stream to create for an item whose images are pushed.
func newStream(r *velero.Restore, item, original *unstructured.Unstructured, p imagePlan) *unstructured.Unstructured {
	stream := &unstructured.Unstructured{Object: fields.Map{
		"apiVersion": api.ImageStreams.GroupVersion().String(),
		"kind":       "ImageStream",
		"metadata":   fields.Map{"name": item.GetName(), "namespace": r.TargetNamespace(item.GetNamespace())},
	}}
	for _, part := range []string{"labels", "annotations"} {
		for key, value := range fields.StringMap(fields.MapAt(item.Object, "metadata", part)) {
			fields.SetMeta(stream, part, key, value)
		}
	}
	RemoveBookkeeping(stream)
	fields.SetLabel(stream, velero.BackupLabel, velero.LabelValue(r.Spec.BackupName))
	fields.SetLabel(stream, velero.RestoreLabel, velero.LabelValue(r.Metadata.Name))
	spec := fields.MapAt(item.DeepCopy().Object, "spec")
	if spec == nil {
		return stream
	}
	stream.Object["spec"] = spec
	pushed := map[string]bool{}
	for _, t := range p.tags {
		pushed[t.name] = t.pushed
	}
	sources := externalSources(original)
	for t := range fields.Each(fields.ListAt(spec, "tags")) {
		if !pushed[fields.TextAt(t, "name")] {
			useExternalSource(t, sources)
		}
		if pushed[fields.TextAt(t, "name")] {
			delete(t, "from") // the image comes with the push
		}
		if from := fields.MapAt(t, "from"); from != nil {
			fields.EditText(from, "namespace", r.TargetNamespace)
		}
	}
	return stream
}

// ensureStream creates a stream, unless it is there already: then it returns that
// one. A list of the namespace tells, so that a new stream costs one request.
func (i *Images) ensureStream(ctx context.Context, r *velero.Restore, stream *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	namespace, name := stream.GetNamespace(), stream.GetName()
	names, err := i.names.Get(ctx, r.Key(namespace), func(ctx context.Context) (map[string]bool, error) {
		return i.cluster.Names(ctx, api.ImageStreams, namespace)
	})
	if err != nil {
		return nil, err
	}
	if names[name] {
		if present, err := i.cluster.Get(ctx, api.ImageStreams, namespace, name); present != nil || err != nil {
			return present, err
		}
	}
	err = i.createStream(ctx, stream)
	if apierrors.IsAlreadyExists(err) {
		return i.cluster.Get(ctx, api.ImageStreams, namespace, name)
	}
	return nil, err
}

func (i *Images) createStream(ctx context.Context, stream *unstructured.Unstructured) error {
	err := i.cluster.Create(ctx, api.ImageStreams, stream.GetNamespace(), stream)
	if !apierrors.IsInvalid(err) {
		return err
	}
	removed := withoutForeignTags(stream)
	if removed == nil {
		return err
	}
	slog.Info("tags that refer to what is not there yet are left to their own image stream tags",
		"item", fields.Describe(stream), "tags", removed, "reason", err.Error())
	return i.cluster.Create(ctx, api.ImageStreams, stream.GetNamespace(), stream)
}

// updateTags lets the tags of a stream that is in the cluster follow what they
// followed when the stream was backed up, if their images do not come with a
// push. A tag that the API refuses, since what it follows is not there, is left as
// it is with a warning.
func (i *Images) updateTags(ctx context.Context, stream, present *unstructured.Unstructured, p imagePlan) error {
	tags := slices.Clone(fields.ListAt(present.Object, "spec", "tags"))
	var changed []string
	for t := range fields.Each(fields.ListAt(stream.Object, "spec", "tags")) {
		name := fields.TextAt(t, "name")
		if fields.MapAt(t, "from") == nil || slices.ContainsFunc(p.tags, func(planned plannedTag) bool { return planned.name == name && planned.pushed }) {
			continue
		}
		wanted := maps.Clone(t)
		delete(wanted, "generation") // the API gives a new one, and imports the image anew
		at := slices.IndexFunc(tags, func(element any) bool {
			existing, _ := element.(fields.Map)
			return existing != nil && fields.TextAt(existing, "name") == name
		})
		if at < 0 {
			tags = append(tags, wanted)
		} else if reflect.DeepEqual(fields.MapAt(tags[at].(fields.Map), "from"), fields.MapAt(t, "from")) {
			continue
		} else {
			tags[at] = wanted
		}
		changed = append(changed, name)
	}
	if changed == nil {
		return nil
	}
	err := i.cluster.Patch(ctx, api.ImageStreams, present.GetNamespace(), present.GetName(), fields.Map{
		"metadata": fields.Map{"resourceVersion": present.GetResourceVersion()},
		"spec":     fields.Map{"tags": tags},
	})
	if apierrors.IsInvalid(err) {
		slog.Warn("tags of an image stream that is there already are left as they are, since the API refuses what they followed in the backup",
			"item", fields.Describe(stream), "tags", changed, "reason", err.Error())
		return nil
	}
	return err
}
