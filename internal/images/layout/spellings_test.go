package layout

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// respell gives the keys of images another spelling.
func respell(m *memory, to func(key string) string) {
	for _, key := range m.keys("") {
		if strings.HasPrefix(strings.TrimPrefix(key, "/"), "docker/") {
			o := m.objects[key]
			delete(m.objects, key)
			m.objects[to(strings.TrimPrefix(key, "/"))] = o
		}
	}
}

func with(key string) string    { return "/" + key }
func without(key string) string { return key }

func TestNewTreesHaveASlash(t *testing.T) {
	bucket := newMemory()
	mustCopy(t, imageOf(t, "layer"), newTree(BothSpellings(bucket), "1"), "v1", "ns/app")
	if keys := bucket.keys("docker/"); len(keys) != 0 {
		t.Errorf("without a slash: %q", keys)
	}
	if keys := bucket.keys("/docker/"); len(keys) == 0 {
		t.Errorf("nothing was written")
	}
}

// What is there with one spelling is read, used and continued with that spelling.
func TestSpellingOfTheTreeIsKept(t *testing.T) {
	for name, spelled := range map[string]func(string) string{"with a slash": with, "without": without} {
		bucket := newMemory()
		first, second := imageOf(t, "base", "first"), imageOf(t, "base", "second")
		mustCopy(t, first, newTree(bucket, "1"), "v1", "ns/app")
		respell(bucket, spelled)
		bucket.forgetRequests()

		tree := newTree(BothSpellings(bucket), "2")
		mustCopy(t, first, tree, "v1", "ns/app")
		mustCopy(t, second, tree, "v1", "ns/app")
		if n := bucket.count("Put", blobKey(second.manifest.Blobs[1].Digest)); n != 0 {
			t.Errorf("%s: the base was put %d times", name, n)
		}
		for _, key := range bucket.keys("") {
			if key != spelled(strings.TrimPrefix(key, "/")) {
				t.Errorf("%s: there is %s", name, key)
			}
		}
		for _, image := range []*simple{first, second} {
			if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Two releases have written to the same bucket: what either has is there, and an
// object of both is listed once, deleted as a whole and as young as its younger half.
func TestTreesOfBothSpellings(t *testing.T) {
	bucket := newMemory()
	old := imageOf(t, "old")
	mustCopy(t, old, newTree(bucket, "1"), "v1", "ns/app")
	both := revisionLink("ns/app", old.digest())
	bucket.set("/"+both, []byte(old.digest()))
	bucket.objects["/"+both] = stored{bucket.objects[both].data, bucket.objects[both].modified.Add(time.Hour)}
	bucket.set("/"+blobsRoot+"sha256/00/x/data", nil)

	b := BothSpellings(bucket)
	tree := newTree(b, "2")
	if _, err := tree.Manifest(t.Context(), "ns/app", old.digest()); err != nil {
		t.Error(err)
	}
	var listed []string
	for o, err := range b.List(t.Context(), "docker/registry/v2/") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, o.Key)
		if o.Key == both && !o.Modified.Equal(bucket.objects["/"+both].modified) {
			t.Errorf("%s is of %s", o.Key, o.Modified)
		}
	}
	slices.Sort(listed)
	if want := len(bucket.keys("docker/registry/v2/")) + 1; len(listed) != want || len(slices.Compact(listed)) != want {
		t.Errorf("listed %d of %d: %q", len(listed), want, listed)
	}
	if err := b.Delete(t.Context(), both); err != nil || len(bucket.keys(both))+len(bucket.keys("/"+both)) != 0 {
		t.Errorf("%s is still there: %v", both, err)
	}
}

// Velero's own objects have one spelling.
func TestOtherKeysAreLeftAsTheyAre(t *testing.T) {
	bucket := newMemory()
	b := BothSpellings(bucket)
	if err := b.Put(t.Context(), "velero/backups/b/velero-backup.json", strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "velero/backups/b/velero-backup.json"); err != nil {
		t.Error(err)
	}
	if keys := bucket.keys(""); !slices.Equal(keys, []string{"velero/backups/b/velero-backup.json"}) {
		t.Errorf("keys: %q", keys)
	}
}

// Clean-up finds what it has to keep, and to remove, in both spellings.
func TestCleanUpWithBothSpellings(t *testing.T) {
	bucket := newMemory()
	ours, theirs := imageOf(t, "base", "ours"), imageOf(t, "base", "theirs")
	mustCopy(t, theirs, newTree(bucket, "other"), "v1", "ns/theirs")
	for _, key := range bucket.keys(indexRoot) {
		bucket.remove(key)
	}
	b := BothSpellings(bucket)
	tree := newTree(b, "1")
	mustCopy(t, ours, tree, "v1", "ns/ours")
	respell(bucket, func(key string) string {
		if strings.Contains(key, "/ns/theirs/") {
			return with(key)
		}
		return without(key)
	})
	clean(t, NewCleaner(b, 0, slog.New(slog.DiscardHandler)), tree, ours)
	if what := missing(bucket, "ns/ours", ours); what == "" {
		t.Error("our image is still there")
	}
	respell(bucket, without)
	if what := missing(bucket, "ns/theirs", theirs); what != "" {
		t.Error(what)
	}
}
