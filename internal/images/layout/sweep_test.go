package layout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

func newCleaner(b objectstore.Bucket, grace time.Duration) *Cleaner {
	return NewCleaner(b, grace, slog.New(slog.DiscardHandler))
}

// clean releases images of a tree's backup and sweeps.
func clean(t testing.TB, c *Cleaner, tree *Tree, released ...*simple) Removed {
	t.Helper()
	var all []digest.Digest
	for _, image := range released {
		all = append(all, image.digest())
	}
	if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), all); err != nil {
		t.Fatal(err)
	}
	removed, err := c.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return removed
}

// end writes what Velero writes at the end of a tree's backup.
func end(t testing.TB, bucket objectstore.Bucket, trees ...*Tree) {
	t.Helper()
	for _, tree := range trees {
		if err := bucket.Put(t.Context(), tree.backup.recordKey(), strings.NewReader("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

func wantWhole(t testing.TB, bucket *memory, repository string, image *simple) {
	t.Helper()
	if what := missing(bucket, repository, image); what != "" {
		t.Error(what)
	}
}

func wantNothing(t testing.TB, bucket *memory) {
	t.Helper()
	if left := bucket.keys("docker/"); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// foreign forgets that we wrote what is there.
func foreign(bucket *memory) {
	for _, key := range bucket.keys(indexRoot) {
		bucket.remove(key)
	}
}

func TestImageGoesWithItsLastBackup(t *testing.T) {
	bucket := newMemory()
	image := indexOf(t, imageOf(t, "base", "amd64"), imageOf(t, "base", "arm64"))
	first, second := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, image, first, "v1", "ns/app", "ns/other")
	mustCopy(t, image, second, "v1", "ns/app")
	end(t, bucket, first, second)
	c := newCleaner(bucket, 0)

	if removed := clean(t, c, first, image); removed != (Removed{}) {
		t.Errorf("removed %+v though another backup needs the image", removed)
	}
	wantWhole(t, bucket, "ns/app", image)
	removed := clean(t, c, second, image)
	// Three manifests, two configurations and three layers.
	if removed.Images != 1 || removed.Blobs != 8 || removed.Bytes == 0 {
		t.Errorf("removed %+v", removed)
	}
	wantNothing(t, bucket)
}

// What images share stays until the last of them goes.
func TestSharedContentStays(t *testing.T) {
	bucket := newMemory()
	child := imageOf(t, "base", "child")
	stays, goes, index := imageOf(t, "base", "stays"), imageOf(t, "base", "goes"), indexOf(t, child, imageOf(t, "other"))
	first, second := newTree(bucket, "1"), newTree(bucket, "2")
	for _, image := range []*simple{goes, index} {
		mustCopy(t, image, first, "v1", "ns/app", "ns/first")
	}
	for _, image := range []*simple{stays, child} { // the child is an image of its own as well
		mustCopy(t, image, second, "v1", "ns/app")
	}
	end(t, bucket, first, second)
	c := newCleaner(bucket, 0)
	clean(t, c, first, goes, index)
	wantWhole(t, bucket, "ns/app", stays)
	wantWhole(t, bucket, "ns/app", child)
	if left := bucket.keys(repositoriesRoot + "ns/first/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, key := range []string{blobKey(goes.digest()), blobKey(digest.FromString("goes")), layerLink("ns/app", digest.FromString("goes")), revisionLink("ns/app", index.digest())} {
		if _, ok := bucket.objects[key]; ok {
			t.Errorf("%s is still there", key)
		}
	}
	clean(t, c, second, stays, child)
	wantNothing(t, bucket)
}

// A tag that names another image by now goes on naming it.
func TestTagOfAnotherImageStays(t *testing.T) {
	bucket := newMemory()
	older, newer := imageOf(t, "older"), imageOf(t, "newer")
	first, second := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, older, first, "v1", "ns/app")
	mustCopy(t, newer, second, "v1", "ns/app")
	end(t, bucket, first, second)
	clean(t, newCleaner(bucket, 0), first, older)
	if got := bucket.content(tagLink("ns/app", "v1")); got != newer.digest().String() {
		t.Errorf("the tag names %q", got)
	}
	want := []string{tagLink("ns/app", "v1"), tagHistoryLink("ns/app", "v1", newer.digest())}
	if got := bucket.keys(tagFolder("ns/app", "v1")); !slices.Equal(got, want) {
		t.Errorf("links of the tag: %q", got)
	}
}

// Images that others wrote stay, whatever they share with ours.
func TestImagesOfOthersStay(t *testing.T) {
	bucket := newMemory()
	theirs, elsewhere := indexOf(t, imageOf(t, "base", "theirs")), imageOf(t, "shared blob")
	mustCopy(t, theirs, newTree(bucket, "x"), "v1", "ns/app")
	mustCopy(t, elsewhere, newTree(bucket, "x"), "v1", "ns/elsewhere")
	foreign(bucket)
	before := bucket.keys("docker/")

	ours := imageOf(t, "base", "ours", "shared blob")
	tree := newTree(bucket, "1")
	mustCopy(t, ours, tree, "v2", "ns/app", "ns/ours")
	mustCopy(t, theirs, tree, "v2", "ns/app") // whose links we need not write
	mustCopy(t, theirs.children[0], tree, "v3", "ns/app")
	end(t, bucket, tree)
	c := newCleaner(bucket, 0)
	clean(t, c, tree, ours, theirs, theirs.children[0])
	wantWhole(t, bucket, "ns/app", theirs)
	wantWhole(t, bucket, "ns/elsewhere", elsewhere)
	for _, key := range bucket.keys("docker/") {
		// Tags that name what stays are not ours to judge.
		if !slices.Contains(before, key) && !strings.Contains(key, "/tags/v2/") && !strings.Contains(key, "/tags/v3/") {
			t.Errorf("left behind: %s", key)
		}
	}
}

// An image of ours that others have written since is theirs.
func TestImageThatOthersWroteAgainStays(t *testing.T) {
	bucket := newMemory()
	image := indexOf(t, imageOf(t, "base", "child"))
	tree := newTree(bucket, "1")
	mustCopy(t, image, tree, "v1", "ns/app")
	end(t, bucket, tree)
	key := revisionLink("ns/app", image.digest())
	bucket.objects[key] = stored{bucket.objects[key].data, bucket.objects[key].modified.Add(time.Second)}
	bucket.clock = func() time.Time { return time.Now().Add(time.Hour) }
	c := newCleaner(bucket, 0)
	clean(t, c, tree, image)
	wantWhole(t, bucket, "ns/app", image)
	if left := bucket.keys(indexRoot); len(left) != 0 {
		t.Errorf("the index still has %q", left)
	}
}

func TestWhatCannotBeReadBlocksItsRepository(t *testing.T) {
	bucket := newMemory()
	unreadable, ours := imageOf(t, "base", "unreadable"), imageOf(t, "base", "ours")
	mustCopy(t, unreadable, newTree(bucket, "x"), "v1", "ns/app")
	foreign(bucket)
	bucket.set(blobKey(unreadable.digest()), []byte("damaged"))
	tree := newTree(bucket, "1")
	mustCopy(t, ours, tree, "v1", "ns/app", "ns/other")
	end(t, bucket, tree)
	c := newCleaner(bucket, 0)
	clean(t, c, tree, ours)
	wantWhole(t, bucket, "ns/app", ours)
	if left := bucket.keys(repositoriesRoot + "ns/other/"); len(left) != 0 {
		t.Errorf("left behind where nothing is damaged: %q", left)
	}
	// It is looked at again when it can be read.
	bucket.set(blobKey(unreadable.digest()), unreadable.manifest.Content)
	clean(t, newCleaner(bucket, 0), tree)
	wantWhole(t, bucket, "ns/app", unreadable)
	if left := bucket.keys(indexRoot); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUploadsOfOthersBlock(t *testing.T) {
	for _, repository := range []string{"ns/app", "ns/elsewhere"} {
		bucket := newMemory()
		image := imageOf(t, "layer")
		tree := newTree(bucket, "1")
		bucket.clock = func() time.Time { return time.Now().Add(-61 * time.Minute) }
		mustCopy(t, image, tree, "v1", "ns/app")
		end(t, bucket, tree)
		upload := repositoriesRoot + repository + "/_uploads/6f1a/startedat"
		bucket.clock = func() time.Time { return time.Now().Add(-59 * time.Minute) }
		bucket.set(upload, []byte("now"))
		bucket.clock = func() time.Time { return time.Now().Add(-61 * time.Minute) }
		c := newCleaner(bucket, time.Hour)
		if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
		bucket.clock = time.Now
		if _, err := c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(bucket.keys(blobsRoot)) != 3 {
			t.Errorf("%s: blobs went: %q", repository, bucket.keys(blobsRoot))
		}
		if repository == "ns/app" {
			wantWhole(t, bucket, "ns/app", image)
		}
		bucket.remove(upload)
		if _, err := newCleaner(bucket, time.Hour).Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNothing(t, bucket)
	}
}

// Nothing goes before its time, and to find that out is cheap.
func TestGrace(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	tree := newTree(bucket, "1")
	ago := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(-d) } }
	bucket.clock = ago(25 * time.Hour)
	mustCopy(t, image, tree, "v1", "ns/app")
	end(t, bucket, tree)
	bucket.clock = ago(23 * time.Hour)
	c := newCleaner(bucket, DefaultGrace)
	clean(t, c, tree, image)
	bucket.forgetRequests()
	bucket.clock = time.Now
	clean(t, c, tree)
	if n := len(bucket.forgetRequests()); n > 4 {
		t.Errorf("a sweep without work took %d requests", n)
	}
	wantWhole(t, bucket, "ns/app", image)
	bucket.clock = ago(-2 * time.Hour) // by the server's clock, which is what counts
	clean(t, c, tree, imageOf(t, "something that was never there"))
	if err := bucket.Put(t.Context(), pendingKey(digest.FromString("x")), strings.NewReader(`{"contents":["`+digest.FromString("x").String()+`"]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if what := missing(bucket, "ns/app", image); what == "" {
		t.Error("the image is still there after its time of grace")
	}
}

// A repository into which a backup is copying is left alone.
func TestRunningBackupKeepsItsRepositories(t *testing.T) {
	bucket := newMemory()
	old, current := imageOf(t, "old"), imageOf(t, "current")
	first, running := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, old, first, "v1", "ns/app", "ns/other")
	end(t, bucket, first)
	announce(t, running, current.digest(), "ns/app")
	clean(t, newCleaner(bucket, 0), first, old)
	wantWhole(t, bucket, "ns/app", old)
	if left := bucket.keys(repositoriesRoot + "ns/other/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	end(t, bucket, running)
	clean(t, newCleaner(bucket, 0), first)
	if left := bucket.keys(repositoriesRoot); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What a backup has announced stays, though nothing refers to it yet.
func TestAnnouncedContentStays(t *testing.T) {
	bucket := newMemory()
	old, current := imageOf(t, "base", "old"), imageOf(t, "base", "current")
	first, running := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, old, first, "v1", "ns/app")
	end(t, bucket, first)
	if err := running.Announce(t.Context(), images.Announcement{
		Digest: current.digest(), Repositories: []string{"ns/other"}, Contents: []digest.Digest{digest.FromString("base")},
	}); err != nil {
		t.Fatal(err)
	}
	removed := clean(t, newCleaner(bucket, 0), first, old)
	if left := bucket.keys(blobsRoot); removed.Images != 1 || !slices.Equal(left, []string{blobKey(digest.FromString("base"))}) {
		t.Errorf("removed %+v, left %q", removed, left)
	}
}

// The entries of a backup that has never come to be are dropped in the end.
func TestAbandonedEntries(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	bucket.clock = func() time.Time { return time.Now().Add(-8 * 24 * time.Hour) }
	mustCopy(t, image, newTree(bucket, "crashed"), "v1", "ns/app")
	ended := newTree(bucket, "ended")
	mustCopy(t, image, ended, "v1", "ns/ended")
	bucket.clock = time.Now
	bucket.set(sweepsRoot+"now", nil) // tells the server's time

	// A location without any backup was moved, or is being filled.
	if _, err := newCleaner(bucket, 0).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(bucket.keys(entriesRoot)); n != 2 {
		t.Errorf("%d entries are left of 2", n)
	}
	end(t, bucket, ended)
	if _, err := newCleaner(bucket, 0).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries := bucket.keys(entriesRoot); len(entries) != 1 || !strings.HasSuffix(entries[0], ended.backup.Owner()) {
		t.Errorf("entries: %q", entries)
	}
	wantWhole(t, bucket, "ns/ended", image)
	bucket.remove(sweepsRoot + "now")
	clean(t, newCleaner(bucket, 0), ended, image)
	wantNothing(t, bucket)
}

// Whenever a release or a sweep is cut off, what is left is whole, and the next
// sweep finishes it.
func TestInterruption(t *testing.T) {
	prepare := func() (*memory, *Tree, []*simple, *simple) {
		bucket := newMemory()
		stays := imageOf(t, "base", "stays")
		goes := []*simple{indexOf(t, imageOf(t, "base", "amd64"), imageOf(t, "arm64")), imageOf(t, "base", "plain")}
		tree, other := newTree(bucket, "1"), newTree(bucket, "2")
		for _, image := range goes {
			mustCopy(t, image, tree, "v1", "ns/app", "ns/other")
		}
		mustCopy(t, stays, other, "v1", "ns/app")
		end(t, bucket, tree, other)
		return bucket, tree, goes, stays
	}
	for requests := 0; ; requests++ {
		bucket, tree, goes, stays := prepare()
		n := 0
		bucket.before = func(context.Context, request) error {
			if n++; n > requests {
				return errors.New("the process has crashed")
			}
			return nil
		}
		c := newCleaner(bucket, 0)
		c.parallel, c.reader.parallel = 1, 1
		released := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{goes[0].digest(), goes[1].digest()})
		_, swept := c.Sweep(t.Context())
		bucket.before = nil
		wantWhole(t, bucket, "ns/app", stays)
		for key := range bucket.objects {
			for _, image := range append(goes, goes[0].children...) {
				for _, repository := range []string{"ns/app", "ns/other"} {
					if key == revisionLink(repository, image.digest()) {
						wantWhole(t, bucket, repository, image)
					}
				}
			}
			if strings.HasSuffix(key, "/current/link") {
				repository, _, _ := strings.Cut(strings.TrimPrefix(key, repositoriesRoot), "/_")
				if d := digest.Digest(bucket.content(key)); len(bucket.keys(revisionLink(repository, d))) == 0 {
					t.Errorf("%s names %s, which is gone", key, d)
				}
			}
		}
		// Twice: the first sweep may have to make the images pending again.
		for range 2 {
			clean(t, newCleaner(bucket, 0), tree, goes...)
		}
		wantWhole(t, bucket, "ns/app", stays)
		if left := bucket.keys(repositoriesRoot + "ns/other/"); len(left) != 0 || len(bucket.keys(blobsRoot)) != 4 || len(bucket.keys(pendingRoot)) != 0 {
			t.Errorf("after %d requests: left behind:\n%s", requests, strings.Join(bucket.keys("docker/"), "\n"))
		}
		if t.Failed() {
			t.Fatalf("a crash after %d requests", requests)
		}
		if released == nil && swept == nil && n <= requests {
			if requests < 40 {
				t.Errorf("a release and a sweep took %d requests only", requests)
			}
			return
		}
	}
}

// A backup that announces an image during a sweep waits for it.
func TestAnnouncementWaitsForSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		bucket.set(sweepsRoot+"a", nil)
		tree := newTree(bucket, "1")
		announced := false
		go func() {
			announce(t, tree, digest.FromString("x"), "ns/app")
			announced = true
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if announced || len(bucket.keys(entriesRoot)) != 1 {
			t.Errorf("announced: %v; entries: %q", announced, bucket.keys(entriesRoot))
		}
		bucket.set(sweepsRoot+"b", nil) // which sees the entry
		bucket.remove(sweepsRoot + "a")
		time.Sleep(2 * sweepPollInterval)
		synctest.Wait()
		if !announced {
			t.Error("not announced after the end of the sweep")
		}
	})
}

func TestDeadSweepIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		bucket.set(sweepsRoot+"a", nil)
		start := time.Now()
		announce(t, newTree(bucket, "1"), digest.FromString("x"), "ns/app")
		if waited := time.Since(start); waited < maxSweepTime+maxDeleteTime || waited > sweepTimeout+2*sweepPollInterval {
			t.Errorf("it was waited for for %v", waited)
		}
		if left := bucket.keys(sweepsRoot); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func TestCancelledAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		bucket.set(sweepsRoot+"a", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second*3)
		defer cancel()
		tree := newTree(bucket, "1")
		err := tree.Announce(ctx, images.Announcement{Digest: digest.FromString("layer"), Repositories: []string{"ns/app"}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := tree.PutBlob(t.Context(), "ns/app", descriptor("layer"), content("layer")); err == nil {
			t.Error("a blob was put though its announcement did not return")
		}
	})
}

// No removal begins when the sweep's time is over, and none takes longer than it may.
func TestSweepEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		tree := newTree(bucket, "1")
		var all []*simple
		for i := range 40 {
			image := imageOf(t, fmt.Sprint("layer", i))
			mustCopy(t, image, tree, "v1", fmt.Sprint("ns/app-", i))
			all = append(all, image)
		}
		end(t, bucket, tree)
		var mu sync.Mutex
		var begun, last time.Time
		bucket.before = func(ctx context.Context, r request) error {
			if r.method == "Put" && strings.HasPrefix(r.key, sweepsRoot) {
				begun = time.Now()
			}
			if r.method == "Delete" && !strings.HasPrefix(r.key, sweepsRoot) && !begun.IsZero() {
				select {
				case <-time.After(3 * time.Second):
					mu.Lock()
					defer mu.Unlock()
					last = time.Now()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		clean(t, newCleaner(bucket, 0), tree, all...)
		if took := last.Sub(begun); took < maxSweepTime-10*time.Second || took > maxSweepTime+maxDeleteTime {
			t.Errorf("the last removal ended %v after the beginning", took)
		}
		if left := bucket.keys(sweepsRoot); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
		if len(bucket.keys(repositoriesRoot)) == 0 {
			t.Error("nothing is left for another sweep")
		}
		bucket.before = nil
		clean(t, newCleaner(bucket, 0), tree)
		wantNothing(t, bucket)
	})
}

// A sweep that was taken for dead stops.
func TestSweepWithoutAnnouncementStops(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	tree := newTree(bucket, "1")
	mustCopy(t, image, tree, "v1", "ns/app")
	end(t, bucket, tree)
	bucket.before = func(_ context.Context, r request) error {
		if r.method == "Get" && r.key == blobKey(image.digest()) {
			for _, key := range bucket.keys(sweepsRoot) {
				bucket.remove(key)
			}
		}
		return nil
	}
	clean(t, newCleaner(bucket, 0), tree, image)
	wantWhole(t, bucket, "ns/app", image)
}

// Whoever is too old to understand the index keeps away from it.
func TestIndexThatIsNotUnderstood(t *testing.T) {
	image := imageOf(t, "layer")
	for key, content := range map[string]string{
		"docker/registry/oadp/refs/v2/x":            "",
		entryKey(image.digest(), "x"):               "{",
		entryKey(image.digest(), "y"):               `{"contents":[]}`,
		entriesRoot + "x/y":                         "",
		marksRoot + "x/ns/app":                      "",
		pendingKey(digest.FromString("else")):       "{}",
		entryKey(digest.FromString("else"), "z"):    `{"contents":["` + image.digest().String() + `"]}`,
		entryKey(digest.FromString("other"), "z/z"): `{"contents":["../x"]}`,
	} {
		bucket := newMemory()
		tree := newTree(bucket, "1")
		mustCopy(t, image, tree, "v1", "ns/app")
		end(t, bucket, tree)
		bucket.set(key, []byte(content))
		c := newCleaner(bucket, 0)
		if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
		wantWhole(t, bucket, "ns/app", image)
		if left := bucket.keys(sweepsRoot); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestPlan(t *testing.T) {
	bucket := newMemory()
	needed, goes, young := imageOf(t, "base", "needed"), imageOf(t, "base", "goes"), imageOf(t, "young")
	tree := newTree(bucket, "1")
	bucket.clock = func() time.Time { return time.Now().Add(-2 * time.Hour) }
	for _, image := range []*simple{needed, goes, young} {
		mustCopy(t, image, tree, "v1", "ns/app")
	}
	end(t, bucket, tree)
	c := newCleaner(bucket, time.Hour)
	release := func(image *simple) {
		if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
	}
	release(goes)
	bucket.clock = time.Now
	release(young)

	before := bucket.keys("")
	planned, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, bucket.keys("")) || bucket.count("Put", sweepsRoot) != 0 {
		t.Error("planning has changed the bucket")
	}
	if len(planned) != 3 || planned[0].Digest != goes.digest() || !planned[0].Goes || planned[0].Why != "" {
		t.Fatalf("planned %+v", planned)
	}
	size := func(image *simple) int64 {
		n := int64(len(image.manifest.Content))
		for _, content := range image.blobs {
			n += int64(len(content))
		}
		return n
	}
	if planned[0].Size != size(goes) || planned[0].Frees != size(goes)-int64(len("base")) {
		t.Errorf("the image of %d bytes is planned as %+v", size(goes), planned[0])
	}
	for _, p := range planned[1:] {
		if p.Goes || p.Why == "" || p.Size == 0 || !slices.Equal(p.Repositories, []string{"ns/app"}) {
			t.Errorf("planned %+v", p)
		}
		if p.Digest == needed.digest() && (len(p.Backups) != 1 || p.Backups[0] != tree.backup) {
			t.Errorf("needed by %v", p.Backups)
		}
	}
	removed, err := c.Sweep(t.Context())
	if err != nil || removed.Bytes != planned[0].Frees {
		t.Errorf("removed %+v, %v", removed, err)
	}
}

// A thousand repositories take a page for each thousand objects and a few
// requests for each repository that something is removed from.
func TestRequestsOfASweep(t *testing.T) {
	bucket := newMemory()
	base := imageOf(t, "base")
	var goes *simple
	tree := newTree(bucket, "1")
	for i := range 1000 {
		if i == 500 {
			goes = imageOf(t, "base", "goes")
			mustCopy(t, goes, tree, "v1", "ns/app-500")
			continue
		}
		for key := range map[string]bool{
			layerLink(fmt.Sprint("ns/app-", i), base.manifest.Blobs[0].Digest): true,
			layerLink(fmt.Sprint("ns/app-", i), base.manifest.Blobs[1].Digest): true,
			revisionLink(fmt.Sprint("ns/app-", i), base.digest()):              true,
		} {
			bucket.set(key, []byte("sha256:x"))
		}
	}
	end(t, bucket, tree)
	bucket.forgetRequests()
	if removed := clean(t, newCleaner(bucket, 0), tree, goes); removed.Images != 1 || removed.Blobs != 3 {
		t.Errorf("removed %+v", removed)
	}
	if n := len(bucket.forgetRequests()); n > 40 {
		t.Errorf("it took %d requests", n)
	}
}

func FuzzEntry(f *testing.F) {
	image := digest.FromString("image")
	e := &entry{Backup: backup("1"), Repositories: []string{"ns/app"}, Contents: []digest.Digest{image}}
	f.Add(e.encode())
	f.Add([]byte(`{"contents":["` + image.String() + `"],"repositories":["localhost/a","a"]}`))
	f.Add([]byte(`{"contents":["sha256:../../x"]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		e, err := decodeEntry(content, image)
		if err != nil {
			return
		}
		for _, d := range e.Contents {
			if err := d.Validate(); err != nil {
				t.Error(err)
			}
		}
		for _, name := range e.Repositories {
			if _, err := repositoryName(name); err != nil {
				t.Error(err)
			}
		}
		again, err := decodeEntry(e.encode(), image)
		if err != nil || !again.covers(e) || !e.covers(again) || again.Owner() != e.Owner() {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}
