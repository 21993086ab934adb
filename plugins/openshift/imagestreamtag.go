package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A tag of an image stream may follow another tag, which then has to be restored
// before it.

// backupImageStreamTag notes the tag that this one follows.
func (a *actions) backupImageStreamTag(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	fields.RemoveAnnotation(item, api.RelatedTagKey)
	fields.RemoveAnnotation(item, api.RelatedTagNSKey)
	from := fields.MapAt(item.Object, "tag", "from")
	kind, name := fields.TextAt(from, "kind"), fields.TextAt(from, "name")
	if kind != "ImageStreamTag" && kind != "ImageStreamImage" {
		return sdk.BackupResult{}, nil
	}
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	namespace := fields.TextAt(from, "namespace")
	if namespace == "" {
		namespace = item.GetNamespace()
	}
	if !t.MayPull(namespace) {
		return sdk.BackupResult{}, nil
	}
	streams, err := a.streams.in(ctx, &t.Task, namespace)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	related := name
	if kind == "ImageStreamImage" {
		_, digest, _ := strings.Cut(name, "@")
		related = streams.tagged(digest)
	} else if t, _ := streams.find(name); t.image == "" {
		related = "" // there is nothing that could be restored before this tag
	}
	if related != "" {
		fields.Annotate(item, api.RelatedTagKey, related)
		fields.Annotate(item, api.RelatedTagNSKey, namespace)
	}
	return sdk.BackupResult{}, nil
}

// streams are the image streams of a namespace.
type streams []stream

type stream struct {
	name string
	tags []tag
}

type tag struct {
	name   string
	image  string // the digest that it stands for, "" if there is none
	source bool   // it is no reference to another tag or image of the cluster
	failed bool   // its image could not be imported
}

// streamLists has the image streams of namespaces, each listed once for a backup or
// restore.
type streamLists struct {
	cluster *kube.Cluster
	streams kube.Memo[streams]
}

func (l *streamLists) in(ctx context.Context, t *velero.Task, namespace string) (streams, error) {
	return l.streams.Get(ctx, t.Key(namespace), func(ctx context.Context) (streams, error) {
		return l.list(ctx, namespace)
	})
}

func (l *streamLists) list(ctx context.Context, namespace string) (streams, error) {
	var all streams
	err := l.cluster.Each(ctx, api.ImageStreams, namespace, kube.Selection{Page: api.ImageStreamPage}, func(object *unstructured.Unstructured) {
		all = append(all, readStream(object))
	})
	return all, err
}

// restoredTo returns the streams of a namespace that is restored to. Streams come before
// their tags, so when a tag asks, what is there is all that comes.
func (l *streamLists) restoredTo(ctx context.Context, r *velero.Restore, namespace string) (streams, error) {
	return l.streams.Get(ctx, r.Key(namespace, "restored"), func(ctx context.Context) (streams, error) {
		return l.list(ctx, namespace)
	})
}

func readStream(object *unstructured.Unstructured) stream {
	s := stream{name: object.GetName()}
	reference := map[string]bool{}
	for t := range fields.Each(fields.ListAt(object.Object, "spec", "tags")) {
		kind := fields.TextAt(t, "from", "kind")
		reference[fields.TextAt(t, "name")] = kind != "" && kind != "DockerImage"
	}
	for t := range fields.Each(fields.ListAt(object.Object, "status", "tags")) {
		name := fields.TextAt(t, "tag")
		s.tags = append(s.tags, tag{name: name, image: currentImage(t), source: !reference[name], failed: importFailed(t)})
		delete(reference, name)
	}
	for name := range reference {
		s.tags = append(s.tags, tag{name: name})
	}
	return s
}

func currentImage(tag fields.Map) string {
	for item := range fields.Each(fields.ListAt(tag, "items")) {
		return fields.TextAt(item, "image")
	}
	return ""
}

func importFailed(tag fields.Map) bool {
	for condition := range fields.Each(fields.ListAt(tag, "conditions")) {
		if fields.TextAt(condition, "type") == "ImportSuccess" && fields.TextAt(condition, "status") == "False" {
			return true
		}
	}
	return false
}

// find returns the tag of that name, STREAM:TAG.
func (s streams) find(name string) (tag, bool) {
	streamName, tagName, _ := strings.Cut(name, ":")
	for _, stream := range s {
		if stream.name != streamName {
			continue
		}
		for _, t := range stream.tags {
			if t.name == tagName {
				return t, true
			}
		}
	}
	return tag{}, false
}

func (s streams) has(name string) bool {
	_, ok := s.find(name)
	return ok
}

// tagged returns the first tag that stands for an image by itself.
func (s streams) tagged(image string) string {
	for _, stream := range s {
		for _, t := range stream.tags {
			if t.source && t.image == image && image != "" {
				return stream.name + ":" + t.name
			}
		}
	}
	return ""
}

// restoreImageStreamTag restores the tags that do not come with the image of
// their stream: those that follow others, and those of images elsewhere.
func (a *actions) restoreImageStreamTag(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	r, err := velero.RestoreOf(in.Restore)
	if err != nil {
		return sdk.RestoreResult{}, err
	}
	item := in.Item
	if namespace := fields.TextAt(item.Object, "tag", "from", "namespace"); namespace != "" && !r.MayPull(namespace) {
		slog.Warn("an image stream tag is not restored, since it follows a namespace that does not belong to the user of the Restore",
			"item", fields.Describe(item), "namespace", namespace)
		return sdk.RestoreResult{Skip: true}, nil
	}
	if present, err := a.streamHasTag(ctx, r, item); err != nil || present {
		return sdk.RestoreResult{Skip: true}, err
	}
	local := imagecopy.IsLocal(fields.TextAt(item.Object, "image", "dockerImageReference"), fields.Annotation(item, api.BackupRegistryHostKey))
	reference := mapReference(r, item)
	if local && !reference {
		return sdk.RestoreResult{Skip: true}, nil
	}
	result := sdk.RestoreResult{WaitForAdditionalItems: true}
	related, namespace := fields.Annotation(item, api.RelatedTagKey), fields.Annotation(item, api.RelatedTagNSKey)
	if related != "" && namespace != "" {
		result.AdditionalItems = []sdk.ResourceIdentifier{{
			Group: api.ImageGroup, Resource: api.ImageStreamTags.Resource, Namespace: namespace, Name: related,
		}}
	}
	return result, nil
}

// mapReference maps the namespace of what the tag follows, and reports whether
// it follows anything.
func mapReference(r *velero.Restore, item *unstructured.Unstructured) bool {
	spec := fields.MapAt(item.Object, "tag")
	from := fields.MapAt(spec, "from")
	if from == nil {
		return false
	}
	namespace := fields.TextAt(from, "namespace")
	// What is known of the tag's import is of the cluster that was backed up.
	delete(spec, "annotations")
	fields.EditText(from, "namespace", r.TargetNamespace)
	own := namespace == "" || namespace == item.GetNamespace()
	return !own || fields.TextAt(from, "kind") != "ImageStreamImage"
}

// streamHasTag reports whether the image stream was restored together with the
// tag: creating it then fails.
func (a *actions) streamHasTag(ctx context.Context, r *velero.Restore, item *unstructured.Unstructured) (bool, error) {
	namespace := r.TargetNamespace(item.GetNamespace())
	if namespace == "" {
		return false, nil
	}
	found, err := a.streams.restoredTo(ctx, r, namespace)
	return found.has(item.GetName()), err
}

// imageStreamTagsReady reports whether all the tags are there, or will not be.
func (a *actions) imageStreamTagsReady(ctx context.Context, items []sdk.ResourceIdentifier, owner sdk.Restore) (bool, error) {
	r, err := velero.RestoreOf(owner)
	if err != nil {
		return false, err
	}
	for _, item := range items {
		if item.Group != api.ImageGroup || item.Resource != api.ImageStreamTags.Resource {
			continue
		}
		ready, err := a.tagReady(ctx, r.TargetNamespace(item.Namespace), item.Name)
		if err != nil {
			slog.Debug("a tag cannot be read and counts as not ready", "tag", item.Name, "error", err)
		}
		if !ready {
			return false, nil
		}
	}
	return true, nil
}

func (a *actions) tagReady(ctx context.Context, namespace, name string) (bool, error) {
	object, err := a.cluster.Get(ctx, api.ImageStreamTags, namespace, name)
	if err != nil || object != nil {
		return object != nil, err
	}
	streamName, _, _ := strings.Cut(name, ":")
	stream, err := a.cluster.Get(ctx, api.ImageStreams, namespace, streamName)
	if err != nil || stream == nil {
		return false, err
	}
	t, ok := streams{readStream(stream)}.find(name)
	return ok && t.failed, nil
}
