package layout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// view is what a list of a repository shows.
type view struct {
	name      string
	revisions map[digest.Digest]time.Time
	layers    map[digest.Digest]bool
	tags      map[string]version // links that name the current images
	history   []historyLink
	uploads   time.Time // of the newest file of an upload
	links     time.Time // of the newest link
}

type historyLink struct {
	key   string
	image digest.Digest
}

// viewOf lists a repository.
func viewOf(ctx context.Context, bucket objectstore.Bucket, name string) (*view, error) {
	v := &view{
		name:      name,
		revisions: map[digest.Digest]time.Time{},
		layers:    map[digest.Digest]bool{},
		tags:      map[string]version{},
	}
	for o, err := range bucket.List(ctx, ownFolders(name)) {
		if err != nil {
			return nil, err
		}
		v.add(o)
	}
	return v, nil
}

func (v *view) add(o objectstore.Object) {
	path := strings.TrimPrefix(o.Key, ownFolders(v.name))
	if strings.HasPrefix(path, "uploads/") {
		v.uploads = later(v.uploads, o.Modified)
		return
	}
	v.links = later(v.links, o.Modified)
	d, named := linked(o.Key)
	switch {
	case named && o.Key == layerLink(v.name, d):
		v.layers[d] = true
	case named && o.Key == revisionLink(v.name, d):
		v.revisions[d] = o.Modified
	case strings.HasPrefix(path, "manifests/tags/") && named:
		v.history = append(v.history, historyLink{o.Key, d})
	case strings.HasPrefix(path, "manifests/tags/") && strings.HasSuffix(path, "/current/link"):
		v.tags[o.Key] = versionOf(o)
	}
}

// tagsOf returns the links of tags that may name one of these images now. A tag
// has a link in its history for each image that it names or has named, which is
// written first; tags without any history may name anything.
func (v *view) tagsOf(images map[digest.Digest]bool) []string {
	may := map[string]bool{} // by the folder of the tag; false if the history names others only
	for _, link := range v.history {
		folder, _, _ := strings.Cut(link.key, "/index/")
		may[folder] = may[folder] || images[link.image]
	}
	var all []string
	for key := range v.tags {
		if named, has := may[strings.TrimSuffix(key, "/current/link")]; named || !has {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return all
}

// linked returns the digest that the key of a link tells.
func linked(key string) (digest.Digest, bool) {
	path, ok := strings.CutSuffix(key, "/link")
	if !ok {
		return "", false
	}
	rest, encoded, _ := cutLast(path)
	_, algorithm, _ := cutLast(rest)
	d := digest.Digest(algorithm + ":" + encoded)
	return d, d.Validate() == nil
}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// removal holds the keys to remove from a repository, in this order.
type removal struct {
	tags, history, revisions, layers, marks []string
}

// removal decides what is removed from a repository. candidates are the contents of
// pending images, needed are the contents that entries need in the repository. Links
// that others have written stay, with all that they need.
func (s *sweep) removal(v *view, candidates, needed map[digest.Digest]bool) removal {
	going := map[digest.Digest]bool{}
	theirs := map[digest.Digest]bool{}
	for d := range v.revisions {
		if !s.isOurs(v, d) {
			s.manifests.add(theirs, d)
		} else if candidates[d] && !needed[d] {
			going[d] = true
		}
	}
	staying := s.staying(v, going)
	var r removal
	for key := range v.tags {
		if going[s.tags[v.tags[key]]] {
			r.tags = append(r.tags, key)
		}
	}
	for _, link := range v.history {
		if going[link.image] {
			r.history = append(r.history, link.key)
		}
	}
	for _, d := range s.manifests.parentsFirst(going) {
		r.revisions = append(r.revisions, revisionLink(v.name, d))
	}
	for _, d := range sorted(candidates) {
		if v.layers[d] && !staying[d] && !needed[d] {
			r.layers = append(r.layers, layerLink(v.name, d))
		}
		if _, linked := v.revisions[d]; s.index.marks[d][v.name].IsZero() || needed[d] || linked && !going[d] && !theirs[d] {
			continue
		}
		r.marks = append(r.marks, markKey(v.name, d))
	}
	slices.Sort(r.tags)
	slices.Sort(r.history)
	return r
}

// isOurs reports whether we wrote the link of a revision last. Of candidates the
// mark was read, which tells the time that the link then had. Of others it matters
// only whether candidates keep their marks, so that mark and link are compared.
func (s *sweep) isOurs(v *view, d digest.Digest) bool {
	marked := s.index.marks[d][v.name]
	if content, read := s.marked[markKey(v.name, d)]; read {
		return content == markOf(v.revisions[d])
	}
	return !marked.IsZero() && !v.revisions[d].Truncate(time.Second).After(marked.Truncate(time.Second))
}

// staying returns what the revisions that are not removed need. It takes a revision
// that one of them needs out of going.
func (s *sweep) staying(v *view, going map[digest.Digest]bool) map[digest.Digest]bool {
	staying := map[digest.Digest]bool{}
	for d := range v.revisions {
		if !going[d] {
			s.manifests.add(staying, d)
		}
	}
	for d := range going {
		if staying[d] {
			delete(going, d)
		}
	}
	return staying
}

func sorted(set map[digest.Digest]bool) []digest.Digest { return slices.Sorted(maps.Keys(set)) }

// busy says why nothing may be removed from the repository now, "" if it may.
func (s *sweep) busy(v *view) string {
	switch {
	case v.uploads.Add(s.grace).After(s.now):
		return fmt.Sprintf("somebody uploads to repository %s", v.name)
	case v.links.Add(s.quiet()).After(s.now):
		return fmt.Sprintf("repository %s was written to a short time ago", v.name)
	}
	return ""
}
