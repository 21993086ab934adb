package registry

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// A tag is a manifest that is put under another name. That of a large manifest,
// of which the result of a copy has the digest alone, is read for it.
func TestTagOfLargeManifest(t *testing.T) {
	s := newServer(t)
	c, _ := newClient(t, Config{Host: s.host})
	config := newContent(10)
	put(t, c, "ns/app", config)
	text := `{"schemaVersion":2,"mediaType":"` + images.OCIManifest + `","config":{"mediaType":"c","digest":"` + config.Digest.String() +
		`","size":10},"layers":[],"annotations":{"padding":"` + strings.Repeat("x", 1<<20) + `"}}`
	m, err := images.ParseManifest([]byte(text), "", digest.FromString(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutManifest(t.Context(), "ns/app", m); err != nil {
		t.Fatal(err)
	}
	brief := &images.Manifest{MediaType: m.MediaType, Digest: m.Digest}
	if err := c.Tag(t.Context(), "ns/app", "v1", brief); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Head(s.URL + "/v2/ns/app/manifests/v1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Docker-Content-Digest"); got != m.Digest.String() {
		t.Errorf("the tag names %q", got)
	}
}
