package layout

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
)

func backup(uid string) Backup {
	return Backup{Cluster: "cluster", Namespace: "openshift-adp", Location: "default", Prefix: "velero", Name: "backup-" + uid, UID: uid}
}

func newTree(b objectstore.Bucket, uid string) *Tree {
	return NewTree(b, backup(uid), slog.New(slog.DiscardHandler))
}

// A simple image is a manifest with blobs, or with the images of an index.
type simple struct {
	manifest *images.Manifest
	blobs    map[digest.Digest][]byte
	children []*simple
}

// imageOf makes an image whose blobs have the given contents.
func imageOf(t testing.TB, contents ...string) *simple {
	t.Helper()
	s := &simple{blobs: map[digest.Digest][]byte{}}
	var blobs []images.Descriptor
	for _, content := range append([]string{fmt.Sprintf("configuration of %q", contents)}, contents...) {
		d := digest.FromString(content)
		s.blobs[d] = []byte(content)
		blobs = append(blobs, images.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(content))})
	}
	s.parse(t, map[string]any{"schemaVersion": 2, "mediaType": images.DockerManifest, "config": blobs[0], "layers": blobs[1:]})
	return s
}

func indexOf(t testing.TB, children ...*simple) *simple {
	t.Helper()
	s := &simple{blobs: map[digest.Digest][]byte{}, children: children}
	var manifests []images.Descriptor
	for _, child := range children {
		m := child.manifest
		manifests = append(manifests, images.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))})
	}
	s.parse(t, map[string]any{"schemaVersion": 2, "mediaType": images.OCIIndex, "manifests": manifests})
	return s
}

func (s *simple) parse(t testing.TB, manifest any) {
	t.Helper()
	content, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if s.manifest, err = images.ParseManifest(content, "", digest.FromBytes(content)); err != nil {
		t.Fatal(err)
	}
}

func (s *simple) digest() digest.Digest { return s.manifest.Digest }

// Manifest and Blob implement images.Source.
func (s *simple) Manifest(ctx context.Context, _ string, d digest.Digest) (*images.Manifest, error) {
	if d == s.digest() {
		return s.manifest, nil
	}
	for _, child := range s.children {
		if m, err := child.Manifest(ctx, "", d); err == nil {
			return m, nil
		}
	}
	return nil, fs.ErrNotExist
}

func (s *simple) Blob(ctx context.Context, _ string, b images.Descriptor) (io.ReadCloser, error) {
	if content, ok := s.blobs[b.Digest]; ok {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	for _, child := range s.children {
		if r, err := child.Blob(ctx, "", b); err == nil {
			return r, nil
		}
	}
	return nil, fs.ErrNotExist
}

func (s *simple) copyTo(ctx context.Context, t *Tree, repositories ...string) error {
	copier := images.NewCopier(s, t, images.Limits{Images: 4, Blobs: 4}, slog.New(slog.DiscardHandler))
	_, err := copier.Copy(ctx, images.Image{Digest: s.digest(), Sources: []string{"any"}, Repositories: repositories})
	return err
}

// mustCopy copies an image and gives it a tag in each repository.
func mustCopy(t testing.TB, s *simple, to *Tree, tag string, repositories ...string) {
	t.Helper()
	if err := s.copyTo(t.Context(), to, repositories...); err != nil {
		t.Fatal(err)
	}
	for _, r := range repositories {
		if err := to.Tag(t.Context(), r, tag, s.manifest); err != nil {
			t.Fatal(err)
		}
	}
}

// put puts a single blob into a tree that was told of it.
func put(t testing.TB, tree *Tree, repository string, b images.Descriptor, open images.Open) (int64, error) {
	t.Helper()
	announce(t, tree, b.Digest, repository)
	return tree.PutBlob(t.Context(), repository, b, open)
}

func announce(t testing.TB, tree *Tree, d digest.Digest, repositories ...string) {
	t.Helper()
	if err := tree.Announce(t.Context(), images.Announcement{Digest: d, Repositories: repositories}); err != nil {
		t.Fatal(err)
	}
}

func descriptor(content string) images.Descriptor {
	return images.Descriptor{Digest: digest.FromString(content), Size: int64(len(content))}
}

func content(s string) images.Open {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func never(context.Context) (io.ReadCloser, error) { return nil, errors.New("the blob was read") }

// The keys and the contents of links are those that registries know.
func TestTreeIsLaidOutAsRegistriesDo(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	config, layer, manifest := image.manifest.Blobs[0].Digest, image.manifest.Blobs[1].Digest, image.digest()
	hex := func(d digest.Digest) string { return d.Encoded() }
	blob := func(d digest.Digest) string {
		return "docker/registry/v2/blobs/sha256/" + hex(d)[:2] + "/" + hex(d) + "/data"
	}
	repository := "docker/registry/v2/repositories/ns/app/"
	want := map[string]string{
		blob(config):   string(image.blobs[config]),
		blob(layer):    "layer",
		blob(manifest): string(image.manifest.Content),
		repository + "_layers/sha256/" + hex(config) + "/link":                          config.String(),
		repository + "_layers/sha256/" + hex(layer) + "/link":                           layer.String(),
		repository + "_manifests/revisions/sha256/" + hex(manifest) + "/link":           manifest.String(),
		repository + "_manifests/tags/v1/index/sha256/" + hex(manifest) + "/link":       manifest.String(),
		repository + "_manifests/tags/v1/current/link":                                  manifest.String(),
		"docker/registry/oadp/made/v1/" + manifest.String() + "/ns/app":                 markOf(bucket.objects[revisionLink("ns/app", manifest)].modified),
		"docker/registry/oadp/refs/v1/" + manifest.String() + "/" + backup("1").Owner(): "",
	}
	for key, content := range want {
		if got, ok := bucket.objects[key]; !ok || content != "" && string(got.data) != content {
			t.Errorf("%s has %q in place of %q", key, got.data, content)
		}
	}
	for _, key := range bucket.keys("") {
		if _, ok := want[key]; !ok {
			t.Errorf("%s is there as well", key)
		}
	}
}

func TestNamespaceLocalhostIsNoPartOfARepository(t *testing.T) {
	bucket := newMemory()
	mustCopy(t, imageOf(t, "layer"), newTree(bucket, "1"), "v1", "localhost/app")
	if len(bucket.keys("docker/registry/v2/repositories/app/_manifests/tags/v1/current/link")) != 1 {
		t.Errorf("keys: %q", bucket.keys(""))
	}
}

// What comes from image streams and manifests becomes part of keys.
func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	tree := newTree(newMemory(), "1")
	ctx := t.Context()
	d := digest.FromString("x")
	for _, a := range []images.Announcement{
		{Digest: "sha256:../../x", Repositories: []string{"ns/app"}},
		{Digest: d, Repositories: []string{"ns/app"}, Contents: []digest.Digest{"sha256:x"}},
		{Digest: d, Repositories: []string{"ns/../app"}},
		{Digest: d, Repositories: []string{"/ns/app"}},
		{Digest: d, Repositories: []string{"ns/_layers"}},
		{Digest: d, Repositories: []string{""}},
	} {
		if err := tree.Announce(ctx, a); err == nil {
			t.Errorf("%+v was taken", a)
		}
	}
	image := imageOf(t, "layer")
	mustCopy(t, image, tree, "v1", "ns/app")
	if err := tree.Tag(ctx, "ns/app", "../v1", image.manifest); err == nil {
		t.Error("a tag with a slash was taken")
	}
	if _, err := tree.Manifest(ctx, "ns/app", "sha256:0"); err == nil {
		t.Error("a manifest of no digest was read")
	}
	if _, err := tree.Blob(ctx, "ns/app", images.Descriptor{Digest: "x"}); err == nil {
		t.Error("a blob of no digest was read")
	}
}

func TestBlobOfTheWrongSizeIsReplaced(t *testing.T) {
	bucket := newMemory()
	b := descriptor("the whole layer")
	bucket.set(blobKey(b.Digest), []byte("the whole"))
	n, err := put(t, newTree(bucket, "1"), "ns/app", b, content("the whole layer"))
	if err != nil || n != b.Size || bucket.content(blobKey(b.Digest)) != "the whole layer" {
		t.Errorf("%d bytes, %v, and the blob is %q", n, err, bucket.content(blobKey(b.Digest)))
	}
}

func TestBlobThatIsThereIsNotRead(t *testing.T) {
	bucket := newMemory()
	b := descriptor("layer")
	bucket.set(blobKey(b.Digest), []byte("layer"))
	if n, err := put(t, newTree(bucket, "1"), "ns/app", b, never); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	b.Size = -1
	if n, err := put(t, newTree(bucket, "2"), "ns/app", b, never); n != 0 || err != nil {
		t.Errorf("of unknown size: %d bytes, %v", n, err)
	}
	if got := bucket.content(layerLink("ns/app", b.Digest)); got != b.Digest.String() {
		t.Errorf("its link is %q", got)
	}
}

func TestEmptyBlob(t *testing.T) {
	bucket := newMemory()
	b := descriptor("")
	if _, err := put(t, newTree(bucket, "1"), "ns/app", b, content("")); err != nil {
		t.Fatal(err)
	}
	if _, ok := bucket.objects[blobKey(b.Digest)]; !ok {
		t.Error("an empty blob is not stored")
	}
	if _, err := put(t, newTree(bucket, "2"), "ns/app", b, never); err != nil {
		t.Error(err)
	}
}

// Whatever is wrong with a blob on its way, nothing of it becomes visible.
func TestBlobThatIsNotTheOneAskedForLeavesNothing(t *testing.T) {
	broken := errors.New("connection reset")
	for name, test := range map[string]struct {
		blob images.Descriptor
		open images.Open
		want error
	}{
		"other content":    {descriptor("layer"), content("LAYER"), nil},
		"too short":        {descriptor("layer"), content("laye"), io.ErrUnexpectedEOF},
		"too long":         {descriptor("layer"), content("layers"), nil},
		"of unknown size":  {images.Descriptor{Digest: digest.FromString("layer"), Size: -1}, content("LAYER"), nil},
		"reader that ends": {descriptor("layer"), reading(io.MultiReader(strings.NewReader("la"), iotest.ErrReader(broken))), broken},
		"no reader":        {descriptor("layer"), func(context.Context) (io.ReadCloser, error) { return nil, broken }, broken},
	} {
		bucket := newMemory()
		_, err := put(t, newTree(bucket, "1"), "ns/app", test.blob, test.open)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left := bucket.keys("docker/registry/v2/"); len(left) != 0 {
			t.Errorf("%s: left behind: %q", name, left)
		}
	}
}

func reading(r io.Reader) images.Open {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

func TestLayerOfFiftyRepositoriesIsPutOnce(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	var group sync.WaitGroup
	for i := range 50 {
		image := imageOf(t, "shared layer", fmt.Sprint("own layer ", i))
		group.Go(func() { mustCopy(t, image, tree, "v1", fmt.Sprint("ns/app-", i)) })
	}
	group.Wait()
	key := blobKey(digest.FromString("shared layer"))
	if stats, puts := bucket.count("Stat", key), bucket.count("Put", key); stats != 1 || puts != 1 {
		t.Errorf("the shared layer took %d Stats and %d Puts", stats, puts)
	}
}

// A second backup of the same images reads and writes next to nothing.
func TestSecondBackupIsNearlyFree(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "1", "2", "3", "4", "5", "6", "7", "8")
	mustCopy(t, image, newTree(bucket, "1"), "v1", "ns/app")
	before := bucket.keys("docker/registry/v2")
	bucket.forgetRequests()
	mustCopy(t, image, newTree(bucket, "2"), "v1", "ns/app")
	if after := bucket.keys("docker/registry/v2"); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
	var puts, others []request
	for _, r := range bucket.forgetRequests() {
		if r.method == "Put" {
			puts = append(puts, r)
		} else if r.method != "Stat" {
			others = append(others, r)
		}
	}
	if len(puts) != 1 || !strings.Contains(puts[0].key, "/refs/") {
		t.Errorf("it put %q", puts)
	}
	// An earlier entry, the sweeps, notes of damage, the repository's links, the
	// manifest, the tag.
	if len(others) != 6 {
		t.Errorf("it requested %q", others)
	}
}

func TestTagMovesAndKeepsItsHistory(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	first, second := imageOf(t, "1"), imageOf(t, "2")
	mustCopy(t, first, tree, "v1", "ns/app")
	mustCopy(t, second, tree, "v1", "ns/app")
	if got := bucket.content(tagLink("ns/app", "v1")); got != second.digest().String() {
		t.Errorf("the tag names %s", got)
	}
	for _, image := range []*simple{first, second} {
		if got := bucket.content(tagHistoryLink("ns/app", "v1", image.digest())); got != image.digest().String() {
			t.Errorf("its history of %s is %q", image.digest(), got)
		}
	}
}

// Two processes that write the same images at the same time do no harm.
func TestTwoTreesAtTheSameTime(t *testing.T) {
	bucket := newMemory()
	shared := indexOf(t, imageOf(t, "1", "base"), imageOf(t, "2", "base"))
	var group sync.WaitGroup
	for _, uid := range []string{"1", "2", "3"} {
		tree := newTree(bucket, uid)
		group.Go(func() { mustCopy(t, shared, tree, "v1", "ns/app", "ns/other") })
	}
	group.Wait()
	tree := newTree(bucket, "1")
	if got := missing(bucket, "ns/app", shared); got != "" {
		t.Error(got)
	}
	if got := missing(bucket, "ns/other", shared); got != "" {
		t.Error(got)
	}
	if _, err := tree.Manifest(t.Context(), "ns/app", shared.digest()); err != nil {
		t.Error(err)
	}
}

// missing says what a repository lacks of an image, "" if nothing.
func missing(m *memory, repository string, image *simple) string {
	lacks := func(key, content string) string {
		if o, ok := m.objects[key]; !ok || string(o.data) != content {
			return fmt.Sprintf("%s has %q", key, o.data)
		}
		return ""
	}
	d := image.digest()
	for key, content := range map[string]string{blobKey(d): string(image.manifest.Content), revisionLink(repository, d): d.String()} {
		if what := lacks(key, content); what != "" {
			return what
		}
	}
	for d, content := range image.blobs {
		if what := lacks(blobKey(d), string(content)); what != "" {
			return what
		}
		if what := lacks(layerLink(repository, d), d.String()); what != "" {
			return what
		}
	}
	for _, child := range image.children {
		if what := missing(m, repository, child); what != "" {
			return what
		}
	}
	return ""
}

// A caller that goes away leaves no link, and the others get their blob.
func TestCancellationOfOneCaller(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	b := descriptor("layer")
	announce(t, tree, b.Digest, "ns/gone", "ns/stays")
	var opened atomic.Int32
	reads, goOn := make(chan struct{}), make(chan struct{})
	open := func(ctx context.Context) (io.ReadCloser, error) {
		opened.Add(1)
		close(reads)
		select {
		case <-goOn:
			return content("layer")(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone, stays := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := tree.PutBlob(ctx, "ns/gone", b, open)
		gone <- err
	}()
	<-reads
	go func() {
		_, err := tree.PutBlob(t.Context(), "ns/stays", b, never)
		stays <- err
	}()
	for {
		waiting := tree.blobs.Waiting(b.Digest)
		if waiting == 2 {
			break
		}
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that went away got %v", err)
	}
	close(goOn)
	if err := <-stays; err != nil || opened.Load() != 1 {
		t.Errorf("the other one got %v, and the blob was opened %d times", err, opened.Load())
	}
	if links := bucket.keys(repositoriesRoot + "ns/gone/"); len(links) != 0 {
		t.Errorf("links: %q", links)
	}
	if links := bucket.keys(repositoriesRoot + "ns/stays/"); len(links) != 1 {
		t.Errorf("links: %q", links)
	}
}

func TestCancellationOfTheOnlyCallerLeavesNothing(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	b := descriptor("layer")
	announce(t, tree, b.Digest, "ns/app")
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	_, err := tree.PutBlob(ctx, "ns/app", b, func(ctx context.Context) (io.ReadCloser, error) {
		cancel()
		<-ctx.Done()
		ended = true
		return nil, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || !ended {
		t.Errorf("%v; the work has ended: %v", err, ended)
	}
	if left := bucket.keys("docker/registry/v2/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Who waited for another's attempt does not fail with it, but tries its own source.
func TestFailureOfAnothersSource(t *testing.T) {
	tree := newTree(newMemory(), "1")
	b := descriptor("layer")
	announce(t, tree, b.Digest, "ns/fails", "ns/works")
	begun, fail := make(chan struct{}), make(chan struct{})
	fails := make(chan error, 1)
	go func() {
		_, err := tree.PutBlob(t.Context(), "ns/fails", b, func(context.Context) (io.ReadCloser, error) {
			close(begun)
			<-fail
			return nil, fs.ErrNotExist
		})
		fails <- err
	}()
	<-begun
	works := make(chan error, 1)
	go func() {
		n, err := tree.PutBlob(t.Context(), "ns/works", b, content("layer"))
		if n != 5 {
			t.Errorf("%d bytes were read", n)
		}
		works <- err
	}()
	close(fail)
	if err := <-fails; !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := <-works; err != nil {
		t.Error(err)
	}
}

// Nothing is written of what clean-up was not told of.
func TestOnlyWhatWasAnnouncedIsPut(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	image := imageOf(t, "layer")
	announce(t, tree, image.digest(), "ns/app")
	if _, err := tree.PutBlob(t.Context(), "ns/app", image.manifest.Blobs[0], never); err == nil {
		t.Error("a blob was put that was not announced")
	}
	if err := tree.PutManifest(t.Context(), "ns/other", image.manifest); err == nil {
		t.Error("a manifest was put into a repository that was not announced")
	}
	if err := tree.PutManifest(t.Context(), "ns/app", image.manifest); err == nil {
		t.Error("a manifest was put into a repository that does not have its blobs")
	}
	if err := tree.Tag(t.Context(), "ns/app", "v1", image.manifest); err == nil {
		t.Error("a tag was put that names a manifest which is not there")
	}
	if err := NewTree(bucket, Backup{}, slog.New(slog.DiscardHandler)).Announce(t.Context(), images.Announcement{Digest: image.digest()}); err == nil {
		t.Error("a tree of no backup was written to")
	}
	if left := bucket.keys("docker/registry/v2/"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A link that others wrote is left as it is and gets no mark.
func TestLinksOfOthersGetNoMark(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	tree := newTree(bucket, "1")
	theirs := revisionLink("ns/app", image.digest())
	bucket.before = func(_ context.Context, r request) error {
		if r.method == "Stat" && r.key == theirs {
			bucket.set(theirs, []byte(image.digest())) // after all links were listed
		}
		return nil
	}
	mustCopy(t, image, tree, "v1", "ns/app")
	if marks := bucket.keys(marksRoot); len(marks) != 0 {
		t.Errorf("marks: %q", marks)
	}
	if bucket.count("Put", marksRoot) != 0 {
		t.Error("a mark was put")
	}
}

func TestDamagedManifestIsNotRead(t *testing.T) {
	bucket := newMemory()
	image := imageOf(t, "layer")
	tree := newTree(bucket, "1")
	if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent manifest: %v", err)
	}
	if _, err := tree.Blob(t.Context(), "ns/app", image.manifest.Blobs[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent blob: %v", err)
	}
	key := blobKey(image.digest())
	bucket.set(key, image.manifest.Content[:20])
	if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("a damaged manifest: %v", err)
	}
	// A backup repairs it.
	mustCopy(t, image, tree, "v1", "ns/app")
	if _, err := tree.Manifest(t.Context(), "ns/app", image.digest()); err != nil {
		t.Error(err)
	}
}

// schema1Of makes an image of schema 1 with one layer.
func schema1Of(t testing.TB, content string) *simple {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer := digest.FromBytes(packed.Bytes())
	s := &simple{blobs: map[digest.Digest][]byte{layer: packed.Bytes()}}
	s.parse(t, map[string]any{
		"schemaVersion": 1, "fsLayers": []any{map[string]any{"blobSum": layer}},
		"history": []any{map[string]any{"v1Compatibility": `{"os":"linux"}`}},
	})
	return s
}

func TestConversionsAreListed(t *testing.T) {
	bucket := newMemory()
	tree := newTree(bucket, "1")
	want := map[digest.Digest]digest.Digest{}
	var all []*simple
	for i := range 3 {
		old := schema1Of(t, fmt.Sprint("old", i))
		copier := images.NewCopier(old, tree, images.Limits{}, slog.New(slog.DiscardHandler))
		result, err := copier.Copy(t.Context(), images.Image{Digest: old.digest(), Sources: []string{"any"}, Repositories: []string{"ns/app"}})
		if err != nil {
			t.Fatal(err)
		}
		want[old.digest()] = result.Manifest.Digest
		all = append(all, old)
		if got, err := tree.Converted(t.Context(), old.digest()); got != result.Manifest.Digest || err != nil {
			t.Errorf("%s became %s, %v", old.digest(), got, err)
		}
	}
	// What others claim is not believed: that an image which is there was made of
	// another one, or of one that nobody has.
	victim := imageOf(t, "victim")
	mustCopy(t, victim, tree, "v1", "ns/app")
	for from, to := range map[digest.Digest]digest.Digest{
		digest.FromString("of a workload"): victim.digest(),
		victim.digest():                    want[all[0].digest()],
		all[1].digest():                    want[all[2].digest()],
	} {
		bucket.set(convertedKey(from, to), []byte(to))
	}
	got, err := tree.AllConverted(t.Context())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := tree.Converted(t.Context(), digest.FromString("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	// The old manifests go with the images.
	var released []digest.Digest
	for _, d := range want {
		released = append(released, d)
	}
	end(t, bucket, tree)
	c := newCleaner(bucket, 0)
	if err := c.Release(t.Context(), tree.backup, tree.backup.Owner(), released); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, old := range all {
		if len(bucket.keys(blobKey(old.digest()))) != 0 {
			t.Errorf("the manifest %s is left behind", old.digest())
		}
	}
	wantWhole(t, bucket, "ns/app", victim)
}
