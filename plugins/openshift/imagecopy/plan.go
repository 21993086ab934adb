package imagecopy

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// imagePlan is what of an image stream is in the registry of the cluster and
// has to be copied.
type imagePlan struct {
	repository string // of the stream: NAMESPACE/NAME
	images     []plannedImage
	tags       []plannedTag
	unreadable error // of tags whose current image cannot even be planned, or nil
}

// plannedImage is an image; each digest is planned once, those of a tag from the
// oldest to the current one.
type plannedImage struct {
	digest       digest.Digest
	reference    string   // as the stream has it
	repositories []string // that may have it: the stream's own, then those that its tags follow
	currentOf    []string // tags that stand for it, which is why it must not be missing
}

// plannedTag is a tag with its images, the current one last.
type plannedTag struct {
	name    string
	digests []digest.Digest
	// pushed says that the tag comes with its images. Others follow another tag
	// or an image elsewhere, and their images are copied without them.
	pushed bool
	// elsewhere is the current image of a tag that would be pushed if that image
	// were in the registry of the cluster, else "".
	elsewhere string
	// there are the images that the tag has in the cluster, the current one last.
	there []digest.Digest
}

// planImages returns what has to be copied of a stream whose images name the
// registry by that host. An item of its status without the digest of an image is
// none: a tag with "reference: true" has the text of its user there, which the
// API does not look at. A tag whose current image has a digest that is none is not
// pushed, and is in the plan's error.
func planImages(stream *unstructured.Unstructured, host string) imagePlan {
	p := imagePlan{repository: stream.GetNamespace() + "/" + stream.GetName()}
	sources := map[string]fields.Map{}
	followed := map[string]bool{} // repositories
	for spec := range fields.Each(fields.ListAt(stream.Object, "spec", "tags")) {
		from := fields.MapAt(spec, "from")
		sources[fields.TextAt(spec, "name")] = from
		followed[followedRepository(from, stream.GetNamespace())] = true
	}
	for status := range fields.Each(fields.ListAt(stream.Object, "status", "tags")) {
		name := fields.TextAt(status, "tag")
		t := plannedTag{name: name, pushed: isPushed(sources[name], stream.GetNamespace())}
		items := slices.Collect(fields.Each(fields.ListAt(status, "items")))
		for i, item := range slices.Backward(items) {
			reference := fields.TextAt(item, "dockerImageReference")
			if !IsLocal(reference, host) || fields.TextAt(item, "image") == "" {
				if i == 0 && t.pushed && reference != "" {
					t.pushed, t.elsewhere = false, reference
				}
				continue
			}
			d, err := imageDigest(item)
			if err != nil {
				p.addUnreadable(imageUnreadable(name, reference, err), i == 0)
				t.pushed = t.pushed && i > 0 // else an old image would become the current one
				continue
			}
			t.digests = append(t.digests, d)
			image := p.add(d, reference, followed)
			if i == 0 {
				image.currentOf = append(image.currentOf, name)
			}
		}
		if len(t.digests) > 0 {
			p.tags = append(p.tags, t)
		}
	}
	return p
}

// addUnreadable notes an image without a digest by which it could be copied: an error
// of its tag if it is the current one, a warning otherwise.
func (p *imagePlan) addUnreadable(err error, current bool) {
	if current {
		p.unreadable = errors.Join(p.unreadable, err)
		return
	}
	slog.Warn("an old image of an image stream cannot be copied and is left out", "imageStream", p.repository, "error", err)
}

// planBackup is planImages for a backup, which reads nothing that the user for
// whom it is made may not pull.
func planBackup(b *velero.Backup, stream *unstructured.Unstructured, host string) imagePlan {
	p := planImages(stream, host)
	for i, image := range p.images {
		p.images[i].repositories = slices.DeleteFunc(image.repositories, func(repository string) bool {
			namespace, _, _ := strings.Cut(repository, "/")
			return repository != p.repository && !b.MayPull(namespace)
		})
	}
	return p
}

// RemoveForeignTags takes off an image stream the tags that follow a stream whose
// images may not be pulled for this Restore. Velero creates the stream with its
// own rights, so that OpenShift would not ask whether the user may pull them.
func RemoveForeignTags(r *velero.Restore, stream *unstructured.Unstructured) {
	var kept []any
	var removed []string
	for _, element := range fields.ListAt(stream.Object, "spec", "tags") {
		t, _ := element.(fields.Map)
		namespace, _, _ := strings.Cut(followedRepository(fields.MapAt(t, "from"), stream.GetNamespace()), "/")
		if namespace == "" || r.MayPull(namespace) {
			kept = append(kept, element)
		} else {
			removed = append(removed, fields.TextAt(t, "name"))
		}
	}
	if removed != nil {
		fields.MapAt(stream.Object, "spec")["tags"] = kept
		slog.Warn("tags of an image stream are not restored, since they follow streams of namespaces that do not belong to the user of the Restore",
			"item", fields.Describe(stream), "tags", removed)
	}
}

// isPushed reports whether a tag with that source in its specification has its
// image from a push, or stands for one that was pushed into the same namespace.
func isPushed(from fields.Map, namespace string) bool {
	if from == nil {
		return true
	}
	of := fields.TextAt(from, "namespace")
	return fields.TextAt(from, "kind") == "ImageStreamImage" && (of == "" || of == namespace)
}

// followedRepository returns the repository, NAMESPACE/NAME, of the stream that a
// tag with that source follows, or "". OpenShift lets a tag follow a stream of
// another namespace only if the user who wrote it may pull from there.
func followedRepository(from fields.Map, namespace string) string {
	name := fields.TextAt(from, "name")
	switch fields.TextAt(from, "kind") {
	case "ImageStreamTag":
		name, _, _ = strings.Cut(name, ":")
	case "ImageStreamImage":
		name, _, _ = strings.Cut(name, "@")
	default:
		return ""
	}
	if name == "" {
		return ""
	}
	return cmp.Or(fields.TextAt(from, "namespace"), namespace) + "/" + name
}

// add plans an image, unless it is planned. The reference is the text of whoever
// wrote the stream, so that its repository is read from only if it is the
// stream's own or a tag of the stream follows it.
func (p *imagePlan) add(d digest.Digest, reference string, followed map[string]bool) *plannedImage {
	i := slices.IndexFunc(p.images, func(image plannedImage) bool { return image.digest == d })
	if i < 0 {
		i = len(p.images)
		p.images = append(p.images, plannedImage{digest: d, reference: reference, repositories: []string{p.repository}})
	}
	image := &p.images[i]
	if other := RepositoryOf(reference); followed[other] && !slices.Contains(image.repositories, other) {
		image.repositories = append(image.repositories, other)
	}
	return image
}

// imageDigest returns the digest of an item of a tag. It is what the API says of
// the image: the reference of the item may be any text of a user.
func imageDigest(item fields.Map) (digest.Digest, error) {
	d := digest.Digest(fields.TextAt(item, "image"))
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	return d, nil
}

// RepositoryOf returns the repository of a reference HOST/REPOSITORY@DIGEST or
// HOST/REPOSITORY:TAG.
func RepositoryOf(reference string) string {
	_, path, _ := strings.Cut(reference, "/")
	path, _, _ = strings.Cut(path, "@")
	if colon := strings.LastIndex(path, ":"); colon > strings.LastIndex(path, "/") {
		path = path[:colon]
	}
	return path
}

// differing is a tag that stands for another image in the cluster than in the
// backup.
type differing struct {
	tag               string
	inBackup, present digest.Digest
}

// missingIn returns the part of the plan for a stream that is in the cluster
// already and keeps what it has, and the tags that it has otherwise. present has
// the histories of its tags.
//
// The current image of a tag that is left alone is part of it, since the
// registry may have lost what the stream names. A tag that has only the first
// images of its history is what a restore that was interrupted has left, and
// gets the others.
func (p imagePlan) missingIn(present map[string][]digest.Digest) (imagePlan, []differing) {
	part := imagePlan{repository: p.repository}
	var others []differing
	wanted := map[digest.Digest]bool{}
	for _, t := range p.tags {
		current, there := t.digests[len(t.digests)-1], present[t.name]
		missing := t.digests
		if t.pushed && len(there) > 0 {
			t.there = there
			now := there[len(there)-1]
			switch {
			case now == current:
				missing = []digest.Digest{current}
			case !isPrefix(there, t.digests):
				others = append(others, differing{t.name, current, now})
				continue
			}
		}
		part.tags = append(part.tags, t)
		for _, d := range missing {
			wanted[d] = true
		}
	}
	for _, image := range p.images {
		if wanted[image.digest] {
			part.images = append(part.images, image)
		}
	}
	return part, others
}

func isPrefix(short, long []digest.Digest) bool {
	return len(short) <= len(long) && slices.Equal(short, long[:len(short)])
}

// histories returns the images of the tags of a stream, the current one last, by
// the names of the tags.
func histories(stream *unstructured.Unstructured) map[string][]digest.Digest {
	all := map[string][]digest.Digest{}
	for t := range fields.Each(fields.ListAt(stream.Object, "status", "tags")) {
		name := fields.TextAt(t, "tag")
		for _, item := range slices.Backward(slices.Collect(fields.Each(fields.ListAt(t, "items")))) {
			all[name] = append(all[name], digest.Digest(fields.TextAt(item, "image")))
		}
	}
	return all
}

// over returns the plan for a stream that is in the cluster already and is
// updated. present has the histories of its tags.
func (p imagePlan) over(present map[string][]digest.Digest) imagePlan {
	p.tags = slices.Clone(p.tags)
	for i, t := range p.tags {
		p.tags[i].there = present[t.name]
	}
	return p
}

// rest returns what of a history has to be pushed: nothing if the tag stands for
// the current image, and what is missing if a restore has begun to push it. Else
// the tag would stand for old images again for a while, which image triggers
// follow.
func (t plannedTag) rest(history []*images.Manifest) []*images.Manifest {
	same := func(m *images.Manifest, d digest.Digest) bool { return m.Digest == d }
	last := len(history) - 1
	if last < 0 || len(t.there) > 0 && same(history[last], t.there[len(t.there)-1]) {
		return nil
	}
	for n := min(last, len(t.there)); n > 0; n-- {
		if slices.EqualFunc(history[:n], t.there[len(t.there)-n:], same) {
			return history[n:]
		}
	}
	return history
}

// IsLocal reports whether an image is in the registry of that host.
func IsLocal(image, host string) bool {
	found, _, _ := strings.Cut(image, "/")
	return host != "" && found == host
}
