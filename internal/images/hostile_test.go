package images_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// disguise returns content whose signature says that only its first byte was
// signed, followed by the rest of the payload.
func disguise(t *testing.T, content, payload string) string {
	t.Helper()
	protected, err := json.Marshal(map[string]any{
		"formatLength": 1, "formatTail": base64.RawURLEncoding.EncodeToString([]byte(payload[1:])),
	})
	if err != nil {
		t.Fatal(err)
	}
	return `{"signatures":[{"protected":"` + base64.RawURLEncoding.EncodeToString(protected) + `"}],` + content[1:]
}

// A signature says which part of a manifest the digest is of. Nothing else of the
// manifest may be believed.
func TestSignatureOfAnotherManifest(t *testing.T) {
	theirs := `{"schemaVersion":2,"mediaType":"` + images.DockerManifest + `","config":` + descriptor("c", "") + `,"layers":[]}`
	genuine := `{"schemaVersion":2,"mediaType":"` + images.DockerManifest + `","config":` + descriptor("c", "") + `,"layers":[` + descriptor("l", "") + `]}`
	old := `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + layer + `"}],"history":[{"v1Compatibility":"{}"}]}`
	replaced := `{"schemaVersion":1,"fsLayers":[]}`
	for name, c := range map[string]struct{ content, payload, mediaType string }{
		"schema 2 under a digest of schema 2":         {theirs, genuine, ""},
		"schema 2 as the registry calls it":           {theirs, genuine, images.DockerManifest},
		"schema 2 that is called schema 1":            {theirs, genuine, images.DockerSchema1Signed},
		"schema 2 under a digest of schema 1":         {theirs, old, images.DockerManifest},
		"schema 1 in a bucket, which has none signed": {replaced, old, ""},
	} {
		content := disguise(t, c.content, c.payload)
		m, err := images.ParseManifest([]byte(content), c.mediaType, digest.FromString(c.payload))
		if err == nil {
			t.Errorf("%s: taken as %s with %d blobs", name, m.MediaType, len(m.Blobs))
		}
	}
	// Where schema 1 is expected, the signed part is what is read.
	content := disguise(t, replaced, old)
	m, err := images.ParseManifest([]byte(content), images.DockerSchema1Signed, digest.FromString(old))
	if err != nil || len(m.Blobs) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}

// What is converted is the signed part as well.
func TestConversionReadsTheSignedPart(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	old := oldImage(t, from)
	genuine := from.manifests[key("ns/app", old.Digest)]
	content := disguise(t, `{"schemaVersion":1,"fsLayers":[],"history":[]}`, string(genuine.Content))
	m, err := images.ParseManifest([]byte(content), images.DockerSchema1Signed, old.Digest)
	if err != nil {
		t.Fatal(err)
	}
	from.manifests[key("ns/app", old.Digest)] = m
	result := mustCopy(t, copier(from, to), images.Image{Digest: old.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if result.Blobs != 3 {
		t.Errorf("%+v", result)
	}
}

// A manifest that is two things at once is read differently by others.
func TestAmbiguousManifest(t *testing.T) {
	content := `{"schemaVersion":2,"config":` + descriptor("c", "") + `,"layers":[],"manifests":[` + descriptor(images.OCIManifest, "") + `]}`
	for _, mediaType := range []string{"", images.OCIManifest, images.OCIIndex} {
		if _, err := images.ParseManifest([]byte(content), mediaType, digest.FromString(content)); err == nil {
			t.Errorf("%q: it is taken", mediaType)
		}
	}
}

// An index of images of schema 1 cannot be converted and is refused.
func TestIndexOfSchema1(t *testing.T) {
	from := newShelf(t)
	index := from.index("ns/app", oldImage(t, from))
	_, err := copier(from, newShelf(t)).Copy(t.Context(), images.Image{Digest: index.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if err == nil || !strings.Contains(err.Error(), "schema 1") {
		t.Error(err)
	}
}

// A bucket can say of any image that it is the conversion of another.
func TestConversionThatIsNotProven(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	old := oldImage(t, from)
	image := images.Image{Digest: old.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}}
	other := to.image("ns/app", 7, 2)
	to.converted[old.Digest] = other.Digest
	first := mustCopy(t, copier(from, to), image)
	if first.Manifest.Digest == other.Digest || to.converted[old.Digest] != first.Manifest.Digest {
		t.Fatalf("the image became %s", first.Manifest.Digest)
	}
	// The same with other settings: the configuration is not the one that follows
	// from the old manifest.
	m := first.Manifest
	var config map[string]any
	if err := json.Unmarshal(to.blobs[key("ns/app", m.Blobs[0].Digest)], &config); err != nil {
		t.Fatal(err)
	}
	config["config"] = map[string]any{"Entrypoint": []string{"/steal"}}
	changed := to.blob("ns/app", []byte(asJSON(t, config)))
	changed.MediaType = m.Blobs[0].MediaType
	forged := to.add("ns/app", asJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": images.DockerManifest, "config": changed, "layers": m.Blobs[1:],
	}))
	to.converted[old.Digest] = forged.Digest
	if again := mustCopy(t, copier(from, to), image); again.Manifest.Digest != m.Digest {
		t.Errorf("the image became %s instead of %s", again.Manifest.Digest, m.Digest)
	}
}

// An image of twelve architectures with ninety layers each is large but sound.
func TestManyLayers(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	var children []images.Descriptor
	for i := range 12 {
		children = append(children, from.image("ns/app", uint64(i), 90))
	}
	index := from.index("ns/app", children...)
	result := mustCopy(t, copier(from, to), images.Image{Digest: index.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if result.Blobs != 12*91 {
		t.Errorf("%+v", result)
	}
}

// The manifests of an index are bounded in sum, so that no index takes the
// memory of the plugin.
func TestManifestsAreBoundedInSum(t *testing.T) {
	from := newShelf(t)
	padding := strings.Repeat("x", 1<<20)
	var children []images.Descriptor
	for i := range 40 {
		config := from.blob("ns/app", fmt.Appendf(nil, `{"n":%d}`, i))
		children = append(children, from.add("ns/app", asJSON(t, map[string]any{
			"schemaVersion": 2, "config": config, "layers": []any{}, "annotations": map[string]string{"padding": padding},
		})))
	}
	index := from.index("ns/app", children...)
	image := images.Image{Digest: index.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}}
	if _, err := copier(from, newShelf(t)).Copy(t.Context(), image); err == nil || !strings.Contains(err.Error(), "MiB") {
		t.Errorf("40 MiB of manifests: %v", err)
	}
	// Large ones go one after the other.
	image.Digest = from.index("ns/app", children[:20]...).Digest
	c := copier(from, newShelf(t))
	failures := make(chan error)
	for range 4 {
		go func() { _, err := c.Copy(t.Context(), image); failures <- err }()
	}
	for range 4 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

// The results of a backup are kept to its end, and there can be thousands.
func TestResultsAreSmall(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	large := from.add("ns/app", asJSON(t, map[string]any{
		"schemaVersion": 2, "config": from.blob("ns/app", []byte("{}")), "layers": []any{},
		"annotations": map[string]string{"padding": strings.Repeat("x", 1<<20)},
	}))
	result := mustCopy(t, copier(from, to), images.Image{Digest: large.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if len(result.Manifest.Content) != 0 || result.Manifest.Digest != large.Digest || result.Manifest.MediaType == "" {
		t.Errorf("a result with %d bytes", len(result.Manifest.Content))
	}
}

// A few bytes of JSON must not become many in memory.
func TestManifestsTakeLittleMemory(t *testing.T) {
	fill := func(format, element string) []byte {
		n := (images.MaxManifestSize - 1000) / (len(element) + 1)
		return fmt.Appendf(nil, format, strings.Repeat(element+",", n-1)+element)
	}
	for name, content := range map[string][]byte{
		"layers":     fill(`{"schemaVersion":2,"config":`+descriptor("c", "")+`,"layers":[%s]}`, "{}"),
		"manifests":  fill(`{"schemaVersion":2,"manifests":[%s]}`, "{}"),
		"urls":       fill(`{"schemaVersion":2,"config":`+descriptor("c", `,"urls":[%s]`)+`}`, `""`),
		"signatures": fill(`{"schemaVersion":1,"signatures":[%s]}`, "{}"),
		"fsLayers":   fill(`{"schemaVersion":1,"fsLayers":[%s]}`, "{}"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = images.ParseManifest(content, "", digest.FromBytes(content))
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 24<<20 {
			t.Errorf("%s: %d MiB", name, taken>>20)
		}
	}
}

// A layer that is a bomb is refused before it has cost much.
func TestLayerThatUnpacksWithoutEnd(t *testing.T) {
	var part bytes.Buffer // gzip reads parts that follow each other as one archive
	w := gzip.NewWriter(&part)
	if _, err := w.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packed := bytes.Repeat(part.Bytes(), 17)
	from, to := newShelf(t), newShelf(t)
	bomb := from.blob("ns/app", packed)
	old := from.add("ns/app", asJSON(t, map[string]any{
		"schemaVersion": 1, "fsLayers": []any{map[string]any{"blobSum": bomb.Digest}}, "history": []any{map[string]any{"v1Compatibility": "{}"}},
	}))
	_, err := copier(from, to).Copy(t.Context(), images.Image{Digest: old.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if err == nil || !strings.Contains(err.Error(), "attack") || !strings.Contains(err.Error(), bomb.Digest.String()) {
		t.Error(err)
	}
}

// archive is a shelf that keeps images for later.
type archive struct{ *shelf }

func (a archive) Archived(ctx context.Context, repository string, d digest.Digest) (*images.Manifest, error) {
	return a.shelf.Manifest(ctx, repository, d)
}

// That the archive has a digest does not prove that the repository of the source
// has it, so the source is asked.
func TestArchiveDoesNotSpeakForTheSource(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	victim := to.image("victim/app", 1, 1)
	c := images.NewCopier(from, archive{to}, images.Limits{}, slog.New(slog.DiscardHandler))
	image := images.Image{Digest: victim.Digest, Sources: []string{"attacker/app"}, Repositories: []string{"attacker/app"}}
	if _, err := c.Copy(t.Context(), image); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the image of another repository: %v", err)
	}
	// An image that was pruned since the last backup stays in the archive.
	pruned := to.image("ns/app", 2, 1)
	image = images.Image{Digest: pruned.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}}
	if _, err := c.Copy(t.Context(), image); err != nil {
		t.Error(err)
	}
	// One that the source has is not read from the archive.
	there := from.image("ns/app", 3, 1)
	mustCopy(t, c, images.Image{Digest: there.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if asked := to.takeAsked(); slices.Contains(asked, "manifest "+key("ns/app", there.Digest)) {
		t.Error("the archive was asked first")
	}
}

// A registry takes a manifest with a foreign layer without having the layer. So
// the layer belongs to the image only if the source has it.
func TestForeignLayerOfTheTarget(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	secret := to.blob("ns/app", []byte("secret"))
	secret.URLs = []string{"https://example.com/layer"}
	secret.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	d := from.add("ns/app", asJSON(t, map[string]any{"schemaVersion": 2, "config": from.blob("ns/app", []byte("{}")), "layers": []any{secret}}))
	to.blobs = map[string][]byte{key("ns/app", secret.Digest): []byte("secret")}
	links := &linkCounter{shelf: to}
	c := images.NewCopier(from, links, images.Limits{}, slog.New(slog.DiscardHandler))
	mustCopy(t, c, images.Image{Digest: d.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if slices.Contains(links.put, secret.Digest) {
		t.Error("a layer that the source does not have became part of the repository")
	}
}

// linkCounter notes the blobs that are put.
type linkCounter struct {
	*shelf
	put []digest.Digest
}

func (l *linkCounter) PutBlob(ctx context.Context, repository string, b images.Descriptor, open images.Open) (int64, error) {
	l.mu.Lock()
	l.put = append(l.put, b.Digest)
	l.mu.Unlock()
	return l.shelf.PutBlob(ctx, repository, b, open)
}
