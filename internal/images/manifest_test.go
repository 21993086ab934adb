package images_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

const layer = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// descriptor is the JSON of one.
func descriptor(mediaType, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7%s}`, mediaType, layer, more)
}

func TestParseManifest(t *testing.T) {
	image := `"config":` + descriptor("c", "") + `,"layers":[` + descriptor("l", "") + `]}`
	index := `"manifests":[` + descriptor(images.OCIManifest, "") + `]}`
	for name, c := range map[string]struct {
		content, header string
		mediaType       string
		manifests       int
		blobs           int
	}{
		"docker":                 {`{"schemaVersion":2,"mediaType":"` + images.DockerManifest + `",` + image, images.OCIManifest, images.DockerManifest, 0, 2},
		"docker list":            {`{"schemaVersion":2,"mediaType":"` + images.DockerList + `",` + index, "", images.DockerList, 1, 0},
		"OCI":                    {`{"schemaVersion":2,` + image, "", images.OCIManifest, 0, 2},
		"OCI index":              {`{"schemaVersion":2,` + index, "", images.OCIIndex, 1, 0},
		"type of the registry":   {`{"schemaVersion":2,` + index, images.DockerList + "; charset=utf-8", images.DockerList, 1, 0},
		"type that says nothing": {`{"schemaVersion":2,` + index, "application/json", images.OCIIndex, 1, 0},
		"empty index":            {`{"schemaVersion":2,"manifests":[]}`, "", images.OCIIndex, 0, 0},
		"schema 1":               {`{"schemaVersion":1,"fsLayers":[{"blobSum":"` + layer + `"}]}`, "", images.DockerSchema1, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := images.ParseManifest([]byte(c.content), c.header, digest.FromString(c.content))
			if err != nil {
				t.Fatal(err)
			}
			if m.MediaType != c.mediaType || len(m.Manifests) != c.manifests || len(m.Blobs) != c.blobs {
				t.Errorf("%s with %d manifests and %d blobs", m.MediaType, len(m.Manifests), len(m.Blobs))
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	for content, want := range map[string]string{
		`{`: "not JSON",
		`{"schemaVersion":2,"mediaType":"application/vnd.example"}`:              "unknown media type",
		`{"schemaVersion":2,"mediaType":"` + images.OCIManifest + `"}`:           "no configuration",
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x"}]}`:          "names the digest",
		`{"schemaVersion":2,"manifests":[{"digest":"` + layer + `","size":-1}]}`: "size of -1",
		`{"schemaVersion":1,"fsLayers":[{"blobSum":"/etc"}]}`:                    "names the digest",
	} {
		_, err := images.ParseManifest([]byte(content), "", digest.FromString(content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	for d, want := range map[digest.Digest]string{
		layer:          "is damaged",
		"sha256:short": "sha256:short",
		"":             `digest ""`,
	} {
		if _, err := images.ParseManifest([]byte(`{"schemaVersion":2,"manifests":[]}`), "", d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// The digest of a signed manifest of schema 1 is that of its unsigned form.
func TestSignedManifest(t *testing.T) {
	payload := "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": [{\"blobSum\": \"" + layer + "\"}]\n}"
	length := strings.LastIndex(payload, "\n}")
	signed := sign(t, payload[:length], "\n}")
	m, err := images.ParseManifest([]byte(signed), images.DockerSchema1Signed, digest.FromString(payload))
	if err != nil {
		t.Fatal(err)
	}
	if m.MediaType != images.DockerSchema1Signed || string(m.Content) != signed {
		t.Errorf("%s: %s", m.MediaType, m.Content)
	}
	if _, err := images.ParseManifest([]byte(strings.Replace(signed, "fsLayers", "fslayers", 1)), images.DockerSchema1Signed, digest.FromString(payload)); err == nil {
		t.Error("a changed manifest is taken")
	}
}

// sign returns a manifest whose signature says that it was made of head and tail.
func sign(t *testing.T, head, tail string) string {
	t.Helper()
	protected, err := json.Marshal(map[string]any{
		"formatLength": len(head), "formatTail": base64.RawURLEncoding.EncodeToString([]byte(tail)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return head + `, "signatures": [{"protected": "` + base64.RawURLEncoding.EncodeToString(protected) + `"}]` + tail
}

func TestForeign(t *testing.T) {
	foreign := []images.Descriptor{
		{URLs: []string{"https://example.com"}},
		{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
		{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"},
	}
	if i := slices.IndexFunc(foreign, func(d images.Descriptor) bool { return !d.Foreign() }); i >= 0 {
		t.Errorf("%+v is not foreign", foreign[i])
	}
	if (images.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+zstd"}).Foreign() {
		t.Error("a layer is foreign")
	}
}

// FuzzParseManifest takes any content for a manifest. Whatever is taken under a
// digest is what has that digest.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":`+descriptor("c", "")+`,"layers":[`+descriptor("l", `,"urls":["x"]`)+`]}`), "")
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"`+layer+`"}],"signatures":[{"protected":"e30"}]}`), images.DockerSchema1Signed)
	f.Fuzz(func(t *testing.T, content []byte, mediaType string) {
		other := digest.FromString(`{"schemaVersion":1}`)
		if m, err := images.ParseManifest(content, mediaType, other); err == nil && digest.FromBytes(m.Verified()) != other {
			t.Fatalf("%s passed as %s", content, other)
		}
		m, err := images.ParseManifest(content, mediaType, digest.FromBytes(content))
		if (m == nil) && (err == nil) {
			t.Fatal("neither a manifest nor an error")
		}
		if err != nil {
			return
		}
		for _, d := range append(m.Manifests, m.Blobs...) {
			if d.Digest.Validate() != nil {
				t.Fatalf("%q passed", d.Digest)
			}
		}
	})
}
