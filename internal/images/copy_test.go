package images_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// shelf holds repositories in memory. As a target it refuses what comes before
// what it consists of.
type shelf struct {
	t *testing.T

	mu        sync.Mutex
	manifests map[string]*images.Manifest // by repository@digest
	blobs     map[string][]byte           // by repository@digest
	announced map[digest.Digest]bool      // contents
	tags      map[string][]digest.Digest  // by repository:tag
	converted map[digest.Digest]digest.Digest
	asked     []string // requests for content

	open, mostOpen int              // blobs that are read
	broken         map[string]error // requests that fail
}

func newShelf(t *testing.T) *shelf {
	return &shelf{
		t: t, manifests: map[string]*images.Manifest{}, blobs: map[string][]byte{}, announced: map[digest.Digest]bool{},
		tags: map[string][]digest.Digest{}, converted: map[digest.Digest]digest.Digest{}, broken: map[string]error{},
	}
}

func key(repository string, d digest.Digest) string { return repository + "@" + d.String() }

func (s *shelf) Manifest(_ context.Context, repository string, d digest.Digest) (*images.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, "manifest "+key(repository, d))
	if err := s.broken[key(repository, d)]; err != nil {
		return nil, err
	}
	if m := s.manifests[key(repository, d)]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%w: manifest %s", fs.ErrNotExist, d)
}

func (s *shelf) Blob(_ context.Context, repository string, b images.Descriptor) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, "blob "+key(repository, b.Digest))
	if err := s.broken[key(repository, b.Digest)]; err != nil {
		return nil, err
	}
	content, ok := s.blobs[key(repository, b.Digest)]
	if !ok {
		return nil, fmt.Errorf("%w: blob %s", fs.ErrNotExist, b.Digest)
	}
	s.open++
	s.mostOpen = max(s.mostOpen, s.open)
	return struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(content), closer(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	})}, nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (s *shelf) Announce(_ context.Context, a images.Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(a.Contents, a.Digest) {
		s.t.Errorf("%s is not among what it consists of", a.Digest)
	}
	for _, d := range a.Contents {
		s.announced[d] = true
	}
	return s.broken["announce"]
}

func (s *shelf) PutBlob(ctx context.Context, repository string, b images.Descriptor, open images.Open) (int64, error) {
	if !s.isAnnounced(b.Digest) {
		s.t.Errorf("blob %s was not announced", b.Digest)
	}
	s.mu.Lock()
	_, there := s.blobs[key(repository, b.Digest)]
	s.mu.Unlock()
	if there {
		return 0, nil
	}
	body, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	if int64(len(content)) != b.Size || digest.FromBytes(content) != b.Digest {
		return 0, fmt.Errorf("blob %s is damaged", b.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[key(repository, b.Digest)] = content
	return int64(len(content)), nil
}

func (s *shelf) isAnnounced(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.announced[d]
}

func (s *shelf) PutManifest(_ context.Context, repository string, m *images.Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range m.Blobs {
		if s.blobs[key(repository, b.Digest)] == nil && !b.Foreign() {
			s.t.Errorf("manifest %s comes before blob %s", m.Digest, b.Digest)
		}
	}
	s.manifests[key(repository, m.Digest)] = m
	return nil
}

func (s *shelf) Tag(_ context.Context, repository, tag string, m *images.Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.manifests[key(repository, m.Digest)] == nil {
		s.t.Errorf("tag %s comes before manifest %s", tag, m.Digest)
	}
	s.tags[repository+":"+tag] = append(s.tags[repository+":"+tag], m.Digest)
	return nil
}

func (s *shelf) Converted(_ context.Context, d digest.Digest) (digest.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to := s.converted[d]; to != "" {
		return to, nil
	}
	return "", fs.ErrNotExist
}

func (s *shelf) SetConverted(_ context.Context, from *images.Manifest, to digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.converted[from.Digest] = to
	return nil
}

// takeAsked returns the requests for content since the last call.
func (s *shelf) takeAsked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// add stores a manifest that is made of JSON.
func (s *shelf) add(repository, content string) images.Descriptor {
	s.t.Helper()
	m, err := images.ParseManifest([]byte(content), "", digest.FromString(content))
	if err != nil {
		s.t.Fatal(err)
	}
	s.manifests[key(repository, m.Digest)] = m
	return images.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(content))}
}

// blob stores a blob.
func (s *shelf) blob(repository string, content []byte) images.Descriptor {
	d := digest.FromBytes(content)
	s.blobs[key(repository, d)] = content
	return images.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(content))}
}

// image stores an image with layers that are made of a seed.
func (s *shelf) image(repository string, seed uint64, layers int) images.Descriptor {
	s.t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	parts := []images.Descriptor{s.blob(repository, fmt.Appendf(nil, `{"seed":%d}`, seed))}
	for range layers {
		content := make([]byte, 1000)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		parts = append(parts, s.blob(repository, content))
	}
	return s.add(repository, asJSON(s.t, map[string]any{"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}))
}

func (s *shelf) index(repository string, children ...images.Descriptor) images.Descriptor {
	s.t.Helper()
	return s.add(repository, asJSON(s.t, map[string]any{"schemaVersion": 2, "manifests": children}))
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func copier(from, to *shelf) *images.Copier {
	return images.NewCopier(from, to, images.Limits{Images: 4, Blobs: 3}, slog.New(slog.DiscardHandler))
}

func mustCopy(t *testing.T, c *images.Copier, image images.Image) images.Result {
	t.Helper()
	result, err := c.Copy(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestCopy(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	shared := from.image("ns/app", 1, 5)
	index := from.index("ns/app", from.image("ns/app", 2, 3), shared, from.index("ns/app", shared, from.image("ns/app", 3, 1)))
	c := copier(from, to)
	image := images.Image{Digest: index.Digest, Sources: []string{"ns/old", "ns/app"}, Repositories: []string{"ns/app", "other/app"}}
	result := mustCopy(t, c, image)
	if result.Manifest.Digest != index.Digest || result.Blobs != 12 || result.Copied != 12 || result.Bytes < 9000 || len(result.Missing) > 0 {
		t.Errorf("%+v", result)
	}
	for stored, m := range from.manifests {
		for _, repository := range image.Repositories {
			copied := to.manifests[key(repository, m.Digest)]
			if copied == nil || !bytes.Equal(copied.Content, m.Content) || copied.MediaType != m.MediaType {
				t.Errorf("%s in %s: %+v", stored, repository, copied)
			}
		}
	}
	if from.open != 0 || from.mostOpen > 3 {
		t.Errorf("%d blobs still open, %d at a time", from.open, from.mostOpen)
	}

	from.takeAsked()
	result = mustCopy(t, c, image)
	if asked := from.takeAsked(); result.Copied != 0 || result.Bytes != 0 || len(asked) > 0 {
		t.Errorf("again: %+v, asked the source for %v", result, asked)
	}
	if err := c.Tag(t.Context(), "ns/app", "v1", result.Manifest, result.Manifest); err != nil || len(to.tags["ns/app:v1"]) != 2 {
		t.Errorf("tags %v, %v", to.tags, err)
	}
}

// What the target has of an image is not read again, a damaged manifest is.
func TestCopyOfTheRest(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	d := from.image("ns/app", 1, 3)
	m := from.manifests[key("ns/app", d.Digest)]
	to.blobs[key("ns/app", m.Blobs[1].Digest)] = from.blobs[key("ns/app", m.Blobs[1].Digest)]
	to.broken[key("ns/app", d.Digest)] = errors.New("damaged")
	result := mustCopy(t, copier(from, to), images.Image{Digest: d.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if result.Copied != 3 || result.Blobs != 4 {
		t.Errorf("%+v", result)
	}
}

func TestMissing(t *testing.T) {
	from := newShelf(t)
	there, gone := from.image("ns/app", 1, 1), images.Descriptor{MediaType: images.OCIManifest, Digest: digest.FromString("gone")}
	index := from.index("ns/app", gone, there)
	image := func(d digest.Digest) images.Image {
		return images.Image{Digest: d, Sources: []string{"ns/app", "ns/other"}, Repositories: []string{"ns/app"}}
	}
	result := mustCopy(t, copier(from, newShelf(t)), image(index.Digest))
	if !slices.Equal(result.Missing, []digest.Digest{gone.Digest}) || result.Blobs != 2 {
		t.Errorf("%+v", result)
	}
	empty := from.index("ns/app", gone)
	lost := from.image("ns/app", 2, 1)
	delete(from.blobs, key("ns/app", from.manifests[key("ns/app", lost.Digest)].Blobs[1].Digest))
	for what, d := range map[string]digest.Digest{"image": gone.Digest, "all of an index": empty.Digest, "layer": lost.Digest} {
		to := newShelf(t)
		_, err := copier(from, to).Copy(t.Context(), image(d))
		if !errors.Is(err, fs.ErrNotExist) || len(to.manifests) > 0 {
			t.Errorf("%s: %v, %d manifests", what, err, len(to.manifests))
		}
	}
}

func TestForeignLayer(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	config := from.blob("ns/app", []byte("{}"))
	elsewhere := images.Descriptor{MediaType: "l", Digest: digest.FromString("elsewhere"), Size: 9, URLs: []string{"https://example.com/layer"}}
	kept := from.blob("ns/app", []byte("kept here"))
	kept.URLs = elsewhere.URLs
	d := from.add("ns/app", asJSON(t, map[string]any{"schemaVersion": 2, "config": config, "layers": []any{elsewhere, kept}}))
	result := mustCopy(t, copier(from, to), images.Image{Digest: d.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if result.Copied != 2 || string(to.blobs[key("ns/app", kept.Digest)]) != "kept here" {
		t.Errorf("%+v", result)
	}
}

// A failure is that of the copy, which leaves no manifest.
func TestFailures(t *testing.T) {
	failure := errors.New("the failure")
	from := newShelf(t)
	d := from.image("ns/app", 1, 8)
	m := from.manifests[key("ns/app", d.Digest)]
	image := images.Image{Digest: d.Digest, Sources: []string{"ns/other", "ns/app"}, Repositories: []string{"ns/app"}}
	for what, prepare := range map[string]func(to *shelf) *shelf{
		"announcement": func(to *shelf) *shelf { to.broken["announce"] = failure; return from },
		"manifest":     func(*shelf) *shelf { return from.with(key("ns/app", d.Digest), failure) },
		"blob":         func(*shelf) *shelf { return from.with(key("ns/app", m.Blobs[5].Digest), failure) },
	} {
		to := newShelf(t)
		_, err := copier(prepare(to), to).Copy(t.Context(), image)
		if !errors.Is(err, failure) || len(to.manifests) > 0 {
			t.Errorf("%s: %v, %d manifests", what, err, len(to.manifests))
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(failure)
	if _, err := copier(from, newShelf(t)).Copy(ctx, image); err == nil {
		t.Error("a copy goes on after its end")
	}
}

// with is the same shelf with a request that fails.
func (s *shelf) with(key string, err error) *shelf {
	other := newShelf(s.t)
	other.manifests, other.blobs = s.manifests, s.blobs
	other.broken[key] = err
	return other
}

func TestEndlessIndex(t *testing.T) {
	from := newShelf(t)
	var children []images.Descriptor
	for i := range 1100 {
		children = append(children, from.image("ns/app", uint64(i), 0))
	}
	d := from.index("ns/app", children...)
	_, err := copier(from, newShelf(t)).Copy(t.Context(), images.Image{Digest: d.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
	if err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}
