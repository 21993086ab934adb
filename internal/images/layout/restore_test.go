package layout

import (
	"errors"
	"io/fs"
	"log/slog"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

// restoreTree reads the images of a backup that another cluster has synced.
func restoreTree(bucket objectstore.Bucket, uid string) *RestoreTree {
	b := backup(uid)
	return NewRestoreTree(bucket, Backup{Prefix: b.Prefix, Name: b.Name}, slog.New(slog.DiscardHandler))
}

// A restore reads the images of its own backup, whatever an image stream names.
func TestRestoreReadsItsOwnBackup(t *testing.T) {
	bucket := newMemory()
	own, victim := indexOf(t, imageOf(t, "base", "own")), imageOf(t, "base", "victim")
	mustCopy(t, own, newTree(bucket, "1"), "v1", "attacker/app")
	mustCopy(t, victim, newTree(bucket, "2"), "v1", "victim/app")
	tree := restoreTree(bucket, "1")
	for _, d := range []digest.Digest{own.digest(), own.children[0].digest()} {
		if _, err := tree.Manifest(t.Context(), "attacker/app", d); err != nil {
			t.Error(err)
		}
	}
	if _, err := tree.Manifest(t.Context(), "attacker/app", victim.digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the image of another backup: %v", err)
	}
	// That of the other location's backup of the same name is another one.
	elsewhere := NewRestoreTree(bucket, Backup{Prefix: "elsewhere", Name: backup("2").Name}, slog.New(slog.DiscardHandler))
	if _, err := elsewhere.Manifest(t.Context(), "attacker/app", victim.digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the image of another location: %v", err)
	}
}

// The plugin that ours replaces wrote no entries.
func TestRestoreOfBackupWithoutEntries(t *testing.T) {
	bucket := newMemory()
	image, victim := imageOf(t, "base", "own"), imageOf(t, "base", "victim")
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	mustCopy(t, victim, newTree(bucket, "1"), "v1", "victim/app")
	foreign(bucket)
	tree := restoreTree(bucket, "1")
	if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); err != nil {
		t.Error(err)
	}
	if _, err := tree.Manifest(t.Context(), "ns/app", victim.digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the image of another repository: %v", err)
	}
}

// A manifest can name any blob as a foreign layer. It is read only if it is part
// of the repository.
func TestForeignLayerOfAnotherRepository(t *testing.T) {
	bucket := newMemory()
	victim := imageOf(t, "secret")
	mustCopy(t, victim, newTree(bucket, "2"), "v1", "victim/app")
	layer := victim.manifest.Blobs[1]
	layer.URLs = []string{"https://example.com/layer"}
	tree := restoreTree(bucket, "1")
	if _, err := tree.Blob(t.Context(), "attacker/app", layer); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	body, err := tree.Blob(t.Context(), "victim/app", layer)
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
}

// What one image of a backup has shown of its owner saves a list for the others.
func TestRequestsOfARestore(t *testing.T) {
	bucket := newMemory()
	var all []*simple
	writer := newTree(bucket, "1")
	for _, content := range []string{"a", "b", "c"} {
		all = append(all, imageOf(t, content))
		mustCopy(t, all[len(all)-1], writer, "v1", "ns/app")
	}
	bucket.forgetRequests()
	tree := restoreTree(bucket, "1")
	for _, image := range all {
		if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); err != nil {
			t.Fatal(err)
		}
	}
	if lists, gets := bucket.count("List", ""), bucket.count("Get", ""); lists != 1 || gets != 6 {
		t.Errorf("%d lists and %d reads", lists, gets)
	}
}

// The archive has an image for a repository only if it is part of that one.
func TestArchivedImages(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	tree := newTree(bucket, "2")
	if _, err := tree.Archived(t.Context(), "ns/app", image.digest()); err != nil {
		t.Error(err)
	}
	for _, repository := range []string{"ns/other", "../x"} {
		if _, err := tree.Archived(t.Context(), repository, image.digest()); err == nil {
			t.Errorf("%s has it", repository)
		}
	}
}

// The links of a repository are listed once, however many images it has.
func TestRepositoryIsListedOnce(t *testing.T) {
	bucket := newMemory()
	bucket.page = 100
	tree := newTree(bucket, "1")
	var all []*simple
	for i := range 50 {
		image := imageOf(t, string(rune('a'+i)))
		all = append(all, image)
		mustCopy(t, image, tree, "v1", "ns/app")
	}
	bucket.forgetRequests()
	again := newTree(bucket, "2")
	for _, image := range all {
		mustCopy(t, image, again, "v1", "ns/app")
	}
	pages := 0
	for _, r := range bucket.forgetRequests() {
		if r.key == ownFolders("ns/app") {
			pages++
		}
	}
	if want := 1 + len(bucket.keys(ownFolders("ns/app")))/bucket.page; pages > want {
		t.Errorf("%d pages of the repository were listed, which has %d", pages, want)
	}
	for _, image := range all {
		wantWhole(t, bucket, "ns/app", image)
	}
}

var _ images.Archive = (*Tree)(nil)
