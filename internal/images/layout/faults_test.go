package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// The owner that a deletion tells comes from an image stream of the tarball, which
// may carry what another backup has noted. Only entries of the very backup go.
func TestReleaseOfAnotherBackup(t *testing.T) {
	image := imageOf(t, "layer")
	elsewhere := backup("1")
	elsewhere.Prefix = "elsewhere"
	for name, deleted := range map[string]Backup{"another backup": backup("2"), "another location": elsewhere} {
		bucket := newMemory()
		kept := newTree(bucket, "1")
		mustCopy(t, image, kept, "v1", "ns/app")
		end(t, bucket, kept)
		c := newCleaner(bucket, 0)
		if err := c.Release(t.Context(), deleted, kept.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, bucket, "ns/app", image)
		if len(bucket.keys(entriesRoot)) != 1 {
			t.Errorf("%s: the entry is gone", name)
		}
		// The same backup deleted from another cluster, where it has another UID.
		synced := Backup{Cluster: "other", Namespace: "velero", Location: "synced", Prefix: "/velero/", Name: kept.backup.Name, UID: "9"}
		if err := c.Release(t.Context(), synced, kept.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
		if len(bucket.keys(entriesRoot)) != 0 {
			t.Errorf("%s: the entry stays", name)
		}
	}
}

// An object with a time in the future, which a wrong clock or a copy of the bucket
// leaves, makes no other entry old, whatever kind it is of.
func TestObjectFromTheFuture(t *testing.T) {
	old := imageOf(t, "of another backup")
	for _, key := range []string{
		entryKey(old.digest(), backup("9").Owner()), markKey("ns/x", old.digest()), pendingKey(old.digest()), sweepsRoot + "x",
		convertedRoot + "x", lastSweepKey, damagedKey(old.digest()),
	} {
		bucket := newMemory()
		image := imageOf(t, "layer")
		running, ended := newTree(bucket, "running"), newTree(bucket, "ended")
		mustCopy(t, image, running, "v1", "ns/app")
		mustCopy(t, imageOf(t, "other"), ended, "v1", "ns/other")
		end(t, bucket, ended) // so the location is filled
		bucket.clock = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
		e := &entry{Backup: backup("9"), Repositories: []string{"ns/x"}, Contents: []digest.Digest{old.digest()}}
		bucket.set(key, e.encode())
		bucket.clock = time.Now
		if _, err := newCleaner(bucket, 0).Sweep(t.Context()); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if len(bucket.keys(entryKey(image.digest(), running.backup.Owner()))) != 1 {
			t.Errorf("%s made a running backup old", key)
		}
		wantWhole(t, bucket, "ns/app", image)
	}
}

// What was found damaged is replaced, though it has the right size.
func TestDamageOfTheRightSize(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	layer := image.manifest.Blobs[1].Digest
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	for _, d := range []digest.Digest{image.digest(), layer} {
		damaged := []byte(bucket.content(blobKey(d)))
		damaged[len(damaged)-1] ^= 1
		bucket.set(blobKey(d), damaged)
	}
	tree := restoreTree(bucket, "1")
	if err := tree.RecordDamage(t.Context(), layer); err != nil || len(bucket.keys(damagedRoot)) != 0 {
		t.Errorf("a location that is only read got a note: %v", err)
	}
	tree.Writable = true
	sound := image.manifest.Blobs[0].Digest
	for _, d := range []digest.Digest{layer, sound, digest.FromString("absent")} {
		if err := tree.RecordDamage(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
	if notes := bucket.keys(damagedRoot); len(notes) != 1 || notes[0] != damagedKey(layer) {
		t.Errorf("notes of damage: %q", notes)
	}
	mustCopy(t, image, newTree(bucket, "2"), "v1", "ns/app")
	wantWhole(t, bucket, "ns/app", image)
	if notes := bucket.keys(damagedRoot); len(notes) != 0 {
		t.Errorf("left behind: %q", notes)
	}
	if got := bucket.content(blobKey(layer)); got != "layer" {
		t.Errorf("the layer is %q", got)
	}
	if got := bucket.content(blobKey(image.digest())); !bytes.Equal([]byte(got), image.manifest.Content) {
		t.Errorf("the manifest is %q", got)
	}
}

// A restore that finds a blob damaged leaves the note by itself.
func TestRestoreNotesDamage(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	layer := image.manifest.Blobs[1].Digest
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	bucket.set(blobKey(layer), []byte("LAYER"))
	from := restoreTree(bucket, "1")
	from.Writable = true
	to := newTree(newMemory(), "2") // as strict as a registry
	copier := images.NewCopier(from, to, images.Limits{}, slog.New(slog.DiscardHandler))
	_, err := copier.Copy(t.Context(), images.Image{Digest: image.digest(), Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if source := (*images.SourceError)(nil); !errors.As(err, &source) || !errors.Is(err, images.ErrDamaged) {
		t.Errorf("the damage is reported as %v", err)
	}
	if len(bucket.keys(damagedKey(layer))) != 1 {
		t.Errorf("notes: %q", bucket.keys(damagedRoot))
	}
}

// A credential that is for one prefix cannot read whether the backups of another
// one have ended. Their entries stay, and all else is cleaned.
func TestRecordThatMayNotBeRead(t *testing.T) {
	bucket := newMemory()
	bucket.clock = func() time.Time { return time.Now().Add(-8 * 24 * time.Hour) }
	foreign := backup("foreign")
	foreign.Prefix = "foreign"
	theirs, ours := imageOf(t, "base", "theirs"), imageOf(t, "base", "ours")
	mustCopy(t, theirs, NewTree(bucket, foreign, slog.New(slog.DiscardHandler)), "v1", "ns/theirs")
	mustCopy(t, theirs, newTree(bucket, "1"), "v1", "ns/app")
	tree := newTree(bucket, "2")
	mustCopy(t, ours, tree, "v1", "ns/ours")
	end(t, bucket, tree, newTree(bucket, "1"))
	bucket.clock = time.Now
	bucket.before = func(_ context.Context, r request) error {
		if strings.HasPrefix(r.key, "foreign/") {
			return errors.New("403 AccessDenied")
		}
		return nil
	}
	if removed := clean(t, newCleaner(bucket, 0), tree, ours); removed.Images != 1 {
		t.Errorf("removed %+v", removed)
	}
	wantWhole(t, bucket, "ns/theirs", theirs)
	if len(bucket.keys(entryKey(theirs.digest(), foreign.Owner()))) != 1 {
		t.Error("an entry of a backup that may not be read is gone")
	}
	if left := bucket.keys(repositoriesRoot + "ns/ours/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The note of an image that a backup needs again goes, as each one costs a look at
// every clean-up.
func TestNoteOfNeededImage(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	first, second := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, image, first, "v1", "ns/app")
	end(t, bucket, first)
	clean(t, newCleaner(bucket, time.Hour), first, image)
	if len(bucket.keys(pendingRoot)) != 1 {
		t.Fatal("the image is not pending")
	}
	mustCopy(t, image, second, "v1", "ns/app")
	end(t, bucket, second)
	if _, err := newCleaner(bucket, time.Hour).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := bucket.keys(pendingRoot); len(left) != 0 {
		t.Errorf("notes: %q", left)
	}
	wantWhole(t, bucket, "ns/app", image)
	clean(t, newCleaner(bucket, 0), second, image)
	wantNothing(t, bucket)
}

// A stream with thousands of tags costs what is removed of it.
func TestRepositoryWithManyTags(t *testing.T) {
	bucket := newMemory()
	stays, goes := imageOf(t, "stays"), imageOf(t, "goes")
	first, second := newTree(bucket, "1"), newTree(bucket, "2")
	mustCopy(t, goes, first, "goes", "ns/app")
	mustCopy(t, stays, second, "stays", "ns/app")
	for i := range 5000 {
		tag := fmt.Sprint("v", i)
		bucket.set(tagLink("ns/app", tag), []byte(stays.digest()))
		bucket.set(tagHistoryLink("ns/app", tag, stays.digest()), []byte(stays.digest()))
	}
	end(t, bucket, first, second)
	bucket.forgetRequests()
	clean(t, newCleaner(bucket, 0), first, goes)
	if n := len(bucket.forgetRequests()); n > 100 {
		t.Errorf("it took %d requests", n)
	}
	wantWhole(t, bucket, "ns/app", stays)
	if left := bucket.keys(tagFolder("ns/app", "goes")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A repository that is too large for one sweep does not keep the others from being
// cleaned.
func TestSlowRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := newMemory()
		slow, quick := imageOf(t, "slow"), imageOf(t, "quick")
		tree := newTree(bucket, "1")
		mustCopy(t, slow, tree, "v1", "a/slow")
		mustCopy(t, quick, tree, "v1", "b/quick")
		end(t, bucket, tree)
		bucket.before = func(ctx context.Context, r request) error {
			if strings.HasPrefix(r.key, ownFolders("a/slow")) {
				select {
				case <-time.After(10 * time.Minute):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		if removed := clean(t, newCleaner(bucket, 0), tree, slow, quick); removed.Images != 1 {
			t.Errorf("removed %+v", removed)
		}
		if left := bucket.keys(repositoriesRoot + "b/quick/"); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
		wantWhole(t, bucket, "a/slow", slow)
		bucket.before = nil
		clean(t, newCleaner(bucket, 0), tree)
		wantNothing(t, bucket)
	})
}

// A deletion costs what it deletes, however much is in the bucket. That is looked
// through once a day at most.
func TestRequestsOfADeletion(t *testing.T) {
	bucket := newMemory()
	for i := range 3000 {
		d := digest.FromString(fmt.Sprint(i))
		e := &entry{Backup: backup("x"), Repositories: []string{"ns/x"}, Contents: []digest.Digest{d}}
		bucket.set(entryKey(d, e.Owner()), e.encode())
	}
	var all []*simple
	tree := newTree(bucket, "1")
	for i := range 5 {
		all = append(all, imageOf(t, fmt.Sprint("layer ", i)))
		mustCopy(t, all[i], tree, "v1", "ns/app")
	}
	end(t, bucket, tree)
	bucket.set(lastSweepKey, nil)
	bucket.forgetRequests()
	c := newCleaner(bucket, DefaultGrace)
	for _, image := range all { // as many image streams
		if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), []digest.Digest{image.digest()}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SweepIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(bucket.forgetRequests()); n > 4*len(all)+1 {
		t.Errorf("the deletion of %d images took %d requests", len(all), n)
	}
	// A day later the first stream of a deletion looks through the bucket.
	for _, last := range []time.Duration{-25 * time.Hour, 48 * time.Hour} {
		bucket.clock = func() time.Time { return time.Now().Add(last) }
		bucket.set(lastSweepKey, nil)
		bucket.clock = time.Now
		bucket.forgetRequests()
		c = newCleaner(bucket, DefaultGrace)
		for range 3 {
			if _, err := c.SweepIfDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := bucket.count("Put", sweepsRoot); n != 1 {
			t.Errorf("%d sweeps when the last one was at %v", n, last)
		}
	}
}

// A copy of a bucket gives all objects new times. A link that the plugin replaced
// has written again since we did must not pass for ours then.
func TestCopiedBucket(t *testing.T) {
	bucket := newMemory()
	bucket.clock = func() time.Time { return time.Now().Add(-3 * time.Hour) }
	image := imageOf(t, "layer")
	tree := newTree(bucket, "1")
	mustCopy(t, image, tree, "v1", "ns/app")
	end(t, bucket, tree)
	bucket.clock = func() time.Time { return time.Now().Add(-2 * time.Hour) }
	link := revisionLink("ns/app", image.digest())
	bucket.set(link, []byte(image.digest())) // by the other plugin, whose backup needs it
	for _, order := range [][]string{{repositoriesRoot, marksRoot}, {marksRoot, repositoriesRoot}} {
		copied := newMemory()
		copied.clock = func() time.Time { return time.Now().Add(-time.Hour) }
		for _, key := range bucket.keys("") {
			copied.set(key, []byte(bucket.content(key)))
		}
		for n, root := range order {
			copied.clock = func() time.Time { return time.Now().Add(-time.Hour + time.Duration(n+1)*time.Minute) }
			for _, key := range bucket.keys(root) {
				copied.set(key, []byte(bucket.content(key)))
			}
		}
		copied.clock = time.Now
		clean(t, newCleaner(copied, 0), tree, image)
		wantWhole(t, copied, "ns/app", image)
	}
}

// FuzzBucket puts any object beside an image of a backup. Whatever it says, a sweep
// leaves the image whole and the backup can be restored.
func FuzzBucket(f *testing.F) {
	image := imageOf(f, "layer")
	other := &entry{Backup: backup("2"), Repositories: []string{"ns/app"}, Contents: []digest.Digest{image.digest(), image.manifest.Blobs[1].Digest}}
	for key, content := range map[string]string{
		entryKey(image.digest(), "x"):                 "{",
		entryKey(image.digest(), backup("2").Owner()): string(other.encode()),
		entryKey(image.manifest.Blobs[1].Digest, "x"): string(other.encode()),
		pendingKey(image.digest()):                    string(other.encode()),
		markKey("ns/other", image.digest()):           "2020-01-01T00:00:00Z",
		damagedKey(image.manifest.Blobs[1].Digest):    "",
		convertedKey(image.digest(), image.digest()):  "",
		lastSweepKey:            "",
		sweepsRoot + "x":        "",
		indexRoot + "refs/v2/x": "",
		revisionLink("ns/app", image.manifest.Blobs[1].Digest):              image.manifest.Blobs[1].Digest.String(),
		tagLink("ns/app", "v2"):                                             image.digest().String(),
		repositoriesRoot + "ns/app/_uploads/x/startedat":                    "",
		blobKey(digest.FromString("x")):                                     `{"schemaVersion":2,"manifests":[{}]}`,
		ownFolders("ns/app") + "manifests/revisions/sha256/../../../x/link": "x",
	} {
		f.Add(key, []byte(content))
	}
	f.Fuzz(func(t *testing.T, key string, content []byte) {
		bucket := newMemory()
		bucket.clock = func() time.Time { return time.Now().Add(-time.Hour) }
		tree := newTree(bucket, "1")
		mustCopy(t, image, tree, "v1", "ns/app")
		end(t, bucket, tree)
		if _, there := bucket.objects[key]; there {
			return
		}
		bucket.set(key, content)
		bucket.clock = time.Now
		for range 2 {
			// An index that is not understood is an error, and nothing is removed.
			_, _ = newCleaner(bucket, 0).Sweep(t.Context())
		}
		wantWhole(t, bucket, "ns/app", image)
		if err := image.readFrom(t.Context(), restoreTree(bucket, "1"), "ns/app"); err != nil {
			t.Errorf("the backup cannot be restored: %v", err)
		}
	})
}
