package images

import (
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/support/registrytree"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// TestNothingIsKeptTwiceOrTooLong backs up the same images twice, deletes one
// backup after the other, and looks each time at what the bucket keeps. A stock
// registry keeps images in it, too.
func TestNothingIsKeptTwiceOrTooLong(t *testing.T) {
	ctx := newContext(t)
	s := newScene(ctx, t, "keep")
	from := s.logEnd(t)
	a := newApp(ctx, t, s.one, "keep", 7000, 3, smallLayer)

	// An image that shares a layer with those of the app, and one of these, which
	// the backups find in the bucket.
	stranger := s.newStranger(ctx, t, s.bucket)
	other := made[v1.Image](t)(mutate.AppendLayers(a.images[0], made[v1.Layer](t)(sampleimage.Layer(7100, smallLayer))))
	stranger.push(ctx, t, "other/thing", "1", other)
	stranger.push(ctx, t, "keep/app", "v1", a.images[0])
	before := s.tree(ctx, t, s.bucket)
	// An image of the first backup alone, which shares a layer as well.
	own := made[v1.Layer](t)(sampleimage.Layer(7200, smallLayer))
	alone := made[v1.Image](t)(mutate.AppendLayers(a.images[1], own))
	must(t, s.one.push(ctx, "keep/alone", "1", alone))

	s.one.registry.ResetCounts()
	backup(ctx, t, s.velero, "keep-1", s.location, a.namespace)
	first, sent := s.imageRequests(), s.one.registry.Counts().Sent
	if sent < smallLayer {
		t.Fatalf("the first backup has read only %d bytes of blobs: the test proves nothing", sent)
	}
	must(t, s.one.resource(imageStream, "keep").Delete(ctx, "alone", metav1.DeleteOptions{}))
	s.one.registry.ResetCounts()
	backup(ctx, t, s.velero, "keep-2", s.location, a.namespace)
	counts := s.one.registry.Counts()
	if counts.Sent != 0 || counts.Requests[fakes.Request{Method: http.MethodGet, Resource: fakes.Blobs}] != 0 {
		t.Errorf("the second backup has read %d bytes of blobs", counts.Sent)
	}
	second := s.imageRequests() - first
	t.Logf("requests to the bucket: %d, then %d; to the registry in the second backup: %v", first, second, counts.Requests)
	// The registry is asked for the manifests, after its handshake of two requests.
	if asked := sum(counts.Requests); asked > len(a.images)+2 || second > first {
		t.Errorf("the second backup has made %d requests to the registry and %d to the bucket, the first %d", asked, second, first)
	}

	must(t, s.velero.DeleteBackup(ctx, "keep-1"))
	tree := s.tree(ctx, t, s.bucket)
	for what, d := range map[string]digest.Digest{"image": digestOf(t, alone), "layer": digestOf(t, own)} {
		if _, ok := tree.Blobs[d]; ok {
			t.Errorf("the %s that only the deleted backup has needed is still there", what)
		}
	}
	must(t, s.one.loseImages(ctx))
	restore(ctx, t, s.velero, "keep", "keep-2", map[string]any{"keep": "keep-back"})
	a.mustBeBack(ctx, t, s.one, "keep-back")

	must(t, s.velero.DeleteBackup(ctx, "keep-2"))
	after := s.tree(ctx, t, s.bucket)
	if got, want := contents(after), contents(before); !slices.Equal(got, want) {
		t.Errorf("the bucket keeps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := after.Keys(""); len(got) != 0 {
		t.Errorf("the index has %q", got)
	}
	stranger.mustServeAll(ctx, t)
	mustHaveCleanLog(ctx, t, s.velero, from)
	s.mustHaveDecentLog(t)
}

// TestBackupsMeetDeletions deletes the backup before while each next one of the
// same images is made. None loses what it needs, and the last takes all with it.
func TestBackupsMeetDeletions(t *testing.T) {
	ctx := newContext(t)
	s := newScene(ctx, t, "meet")
	a := newApp(ctx, t, s.one, "meet", 7500, 3, smallLayer)
	name := func(i int) string { return fmt.Sprintf("meet-%d", i) }
	backup(ctx, t, s.velero, name(0), s.location, a.namespace)
	last := 3 * *rounds
	for i := range last {
		deleted := make(chan error, 1)
		go func() { deleted <- s.velero.DeleteBackup(ctx, name(i)) }()
		backup(ctx, t, s.velero, name(i+1), s.location, a.namespace)
		must(t, <-deleted)
		if tree := s.tree(ctx, t, s.bucket); tree.Repositories["meet/app"] == nil {
			t.Fatalf("after the deletion of %s the images of %s are gone", name(i), name(i+1))
		}
	}
	must(t, s.one.loseImages(ctx))
	restore(ctx, t, s.velero, "meet", name(last), map[string]any{"meet": "meet-back"})
	a.mustBeBack(ctx, t, s.one, "meet-back")
	must(t, s.velero.DeleteBackup(ctx, name(last)))
	if left := contents(s.tree(ctx, t, s.bucket)); len(left) != 0 {
		t.Errorf("the bucket keeps %q", left)
	}
	s.mustHaveDecentLog(t)
}

// contents are the blobs of a bucket, and its links to images and layers.
func contents(tree *registrytree.Tree) []string {
	var all []string
	add := func(what string, digests iter.Seq[digest.Digest]) {
		for d := range digests {
			all = append(all, what+" "+d.String())
		}
	}
	add("blob", maps.Keys(tree.Blobs))
	for name, repository := range tree.Repositories {
		add("layer of "+name, maps.Keys(repository.Layers))
		add("image of "+name, maps.Keys(repository.Revisions))
	}
	slices.Sort(all)
	return all
}

func sum(requests map[fakes.Request]int) int {
	n := 0
	for _, count := range requests {
		n += count
	}
	return n
}
