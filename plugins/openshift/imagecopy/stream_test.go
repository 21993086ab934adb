package imagecopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/images/registry"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// repositories are a source and a target of images in memory.
type repositories struct {
	mu        sync.Mutex
	manifests map[digest.Digest]*images.Manifest
	blobs     map[digest.Digest][]byte
	failures  map[digest.Digest]error // of reading
	refused   map[string]error        // by tag
	tags      map[string]digest.Digest
}

func newRepositories() *repositories {
	return &repositories{
		manifests: map[digest.Digest]*images.Manifest{}, blobs: map[digest.Digest][]byte{},
		failures: map[digest.Digest]error{}, refused: map[string]error{}, tags: map[string]digest.Digest{},
	}
}

// add makes an image with one configuration and no layers.
func (r *repositories) add(t *testing.T, content string) digest.Digest {
	t.Helper()
	config := digest.FromString(content)
	r.blobs[config] = []byte(content)
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"c","digest":%q,"size":%d},"layers":[]}`, images.OCIManifest, config, len(content))
	m, err := images.ParseManifest([]byte(text), "", digest.FromString(text))
	if err != nil {
		t.Fatal(err)
	}
	r.manifests[m.Digest] = m
	return m.Digest
}

func (r *repositories) Manifest(_ context.Context, _ string, d digest.Digest) (*images.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failures[d]; err != nil {
		return nil, err
	}
	if m := r.manifests[d]; m != nil {
		return m, nil
	}
	return nil, fs.ErrNotExist
}

func (r *repositories) Blob(_ context.Context, _ string, b images.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failures[b.Digest]; err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(r.blobs[b.Digest])), nil
}

func (r *repositories) Announce(context.Context, images.Announcement) error { return nil }

func (r *repositories) PutBlob(ctx context.Context, _ string, b images.Descriptor, open images.Open) (int64, error) {
	body, err := open(ctx)
	if err != nil {
		return 0, err
	}
	content, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return 0, err
	}
	if digest.FromBytes(content) != b.Digest {
		return 0, fmt.Errorf("%w: blob %s", images.ErrDamaged, b.Digest)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[b.Digest] = content
	return int64(len(content)), nil
}

func (r *repositories) PutManifest(_ context.Context, _ string, m *images.Manifest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[m.Digest] = m
	return nil
}

func (r *repositories) Tag(_ context.Context, _, tag string, m *images.Manifest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refused[tag]; err != nil {
		return err
	}
	r.tags[tag] = m.Digest
	return nil
}

func routeBetween(from, to *repositories) imageRoute {
	return imageRoute{
		copier: images.NewCopier(from, to, images.Limits{Images: 2, Blobs: 2}, slog.New(slog.DiscardHandler)),
		copied: &kube.Memo[images.Result]{Lifetime: kube.WholeTask},
		atOnce: 2,
		owner:  "owner",
	}
}

// plannedStream plans a stream whose tags have one image each, and one more old image.
func plannedStream(old digest.Digest, current map[string]digest.Digest) imagePlan {
	p := imagePlan{repository: "ns/app"}
	for _, tag := range slices.Sorted(maps.Keys(current)) {
		digests := []digest.Digest{current[tag]}
		if tag == "v1" {
			digests = []digest.Digest{old, current[tag]}
		}
		p.tags = append(p.tags, plannedTag{name: tag, digests: digests, pushed: true})
		p.images = append(p.images, plannedImage{digest: current[tag], repositories: []string{"ns/app"}, currentOf: []string{tag}})
	}
	p.images = append(p.images, plannedImage{digest: old, repositories: []string{"ns/app"}})
	return p
}

// An image that cannot be read does not take the others of its stream along: an
// old one is left out with a warning, a current one is an error of its tag.
func TestUnreadableImages(t *testing.T) {
	coded := func(code fault.Code) error { return &fault.Error{Code: code, What: "reading"} }
	for name, failure := range map[string]error{
		"gone":               fs.ErrNotExist,
		"damaged":            fmt.Errorf("%w: it has other content", images.ErrDamaged),
		"damaged, coded":     coded(registry.CodeDamaged),
		"of an unknown sort": coded(registry.CodeUnsupported),
		"not given":          coded(registry.CodeFailed),
		"without a code":     errors.New("manifest is an index and an image at once"),
	} {
		t.Run(name, func(t *testing.T) {
			from := newRepositories()
			old, sound, bad := from.add(t, "old"), from.add(t, "sound"), from.add(t, "bad")
			plan := plannedStream(old, map[string]digest.Digest{"v1": sound, "v2": bad})
			from.failures[old] = failure

			to := newRepositories()
			summary, err := routeBetween(from, to).copyOut(t.Context(), plan)
			if err != nil || summary.Images != 2 || !slices.Equal(summary.Missing, []digest.Digest{old}) || to.tags["v1"] != sound || to.tags["v2"] != bad {
				t.Errorf("without an old image: %+v, %v, tags %v", summary, err, to.tags)
			}

			from.failures[bad] = failure
			for what, run := range map[string]func(imageRoute) error{
				"backup":  func(r imageRoute) error { _, err := r.copyOut(t.Context(), plan); return err },
				"restore": func(r imageRoute) error { return r.copyBack(t.Context(), plan, "ns/app") },
			} {
				to := newRepositories()
				err := run(routeBetween(from, to))
				if err == nil || !strings.Contains(err.Error(), "tag v2") || !strings.Contains(err.Error(), bad.String()) || strings.Contains(err.Error(), "tag v1") {
					t.Errorf("%s without a current image: %v", what, err)
				}
				if to.tags["v1"] != sound || to.tags["v2"] != "" {
					t.Errorf("%s: tags %v", what, to.tags)
				}
			}
		})
	}
}

// A damaged layer counts as its image does.
func TestDamagedLayer(t *testing.T) {
	from, to := newRepositories(), newRepositories()
	old, current := from.add(t, "old"), from.add(t, "current")
	from.blobs[digest.FromString("old")] = []byte("OLD")
	summary, err := routeBetween(from, to).copyOut(t.Context(), plannedStream(old, map[string]digest.Digest{"v1": current}))
	if err != nil || len(summary.Missing) != 1 || to.tags["v1"] != current {
		t.Errorf("%+v, %v", summary, err)
	}
}

// What is not about an image, such as a lost connection or a missing right, ends
// the copy: no old image may be left out for it.
func TestFailureThatIsNotAboutAnImage(t *testing.T) {
	for name, failure := range map[string]error{
		"right":      &fault.Error{Code: registry.CodeForbidden, What: "reading"},
		"connection": fmt.Errorf("reading: %w", io.ErrUnexpectedEOF),
	} {
		from := newRepositories()
		old, current := from.add(t, "old"), from.add(t, "current")
		from.failures[old] = failure
		if _, err := routeBetween(from, newRepositories()).copyOut(t.Context(), plannedStream(old, map[string]digest.Digest{"v1": current})); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A tag that the registry refuses does not hold up the others.
func TestRefusedTag(t *testing.T) {
	from, to := newRepositories(), newRepositories()
	old, one, two := from.add(t, "old"), from.add(t, "one"), from.add(t, "two")
	to.refused["v1"] = errors.New("quota exceeded")
	err := routeBetween(from, to).copyBack(t.Context(), plannedStream(old, map[string]digest.Digest{"v1": one, "v2": two}), "ns/app")
	if err == nil || !strings.Contains(err.Error(), "v1") || to.tags["v2"] != two {
		t.Errorf("%v, tags %v", err, to.tags)
	}
}
