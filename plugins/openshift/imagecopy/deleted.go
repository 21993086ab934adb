package imagecopy

import (
	"context"
	"log/slog"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// deletedTags returns the names of the tags of a plan that the stream in the
// cluster no longer has, which are all if there is no such stream.
func (i *Images) deletedTags(ctx context.Context, item *unstructured.Unstructured, plan imagePlan) ([]string, error) {
	live, err := i.cluster.Get(ctx, api.ImageStreams, item.GetNamespace(), item.GetName())
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	if live != nil {
		for t := range fields.Each(fields.ListAt(live.Object, "status", "tags")) {
			has[fields.TextAt(t, "tag")] = true
		}
	}
	var deleted []string
	for _, t := range plan.tags {
		if !has[t.name] {
			deleted = append(deleted, t.name)
		}
	}
	if len(deleted) > 0 {
		slog.Warn("tags of an image stream were deleted while the backup ran and are left out of it, as their images are gone",
			"item", fields.Describe(item), "tags", deleted, "streamIsDeleted", live == nil)
	}
	return deleted, nil
}

// removeTags takes tags off the specification and the status of a stream.
func removeTags(stream *unstructured.Unstructured, names []string) {
	for part, key := range map[string]string{"spec": "name", "status": "tag"} {
		inner := fields.MapAt(stream.Object, part)
		if tags := fields.ListAt(inner, "tags"); tags != nil {
			inner["tags"] = slices.DeleteFunc(tags, func(element any) bool {
				t, _ := element.(fields.Map)
				return t != nil && slices.Contains(names, fields.TextAt(t, key))
			})
		}
	}
}
