package images_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
)

// oldImage stores an image of schema 1 with three layers, the second of which
// has no files.
func oldImage(t *testing.T, s *shelf) images.Descriptor {
	t.Helper()
	layers := map[string]string{}
	for _, content := range []string{"base", "", "top"} {
		layers[content] = s.blob("ns/app", pack(t, content)).Digest.String()
	}
	history := []map[string]string{
		{"v1Compatibility": `{"id":"3","parent":"2","created":"2020-01-03T00:00:00Z","Size":3,"os":"linux","architecture":"s390x",
"config":{"Cmd":["run"],"Memory":12345678901234567},"container_config":{"Cmd":["/bin/sh","-c","add top"]},"comment":"c"}`},
		{"v1Compatibility": `{"id":"2","parent":"1","created":"2020-01-02T00:00:00Z","throwaway":true,"container_config":{"Cmd":["CMD run"]}}`},
		{"v1Compatibility": `{"id":"1","created":"2020-01-01T00:00:00Z","author":"a","container_config":{"Cmd":["add base"]}}`},
	}
	return s.add("ns/app", asJSON(t, map[string]any{
		"schemaVersion": 1, "name": "ns/app", "history": history,
		"fsLayers": []map[string]string{{"blobSum": layers["top"]}, {"blobSum": layers[""]}, {"blobSum": layers["base"]}},
	}))
}

func pack(t *testing.T, content string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestConversion(t *testing.T) {
	from, to := newShelf(t), newShelf(t)
	old := oldImage(t, from)
	image := images.Image{Digest: old.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}}
	c := copier(from, to)
	result := mustCopy(t, c, image)
	m := result.Manifest
	if m.MediaType != images.DockerManifest || m.Digest == old.Digest || len(m.Blobs) != 3 || to.converted[old.Digest] != m.Digest {
		t.Fatalf("%+v, converted %v", result, to.converted)
	}
	if to.manifests[key("ns/app", old.Digest)] != nil {
		t.Error("the old manifest was copied, too")
	}

	var config map[string]any
	if err := json.Unmarshal(to.blobs[key("ns/app", m.Blobs[0].Digest)], &config); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"os": "linux", "architecture": "s390x", "created": "2020-01-03T00:00:00Z", "comment": "c",
		"id": nil, "parent": nil, "Size": nil,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{digest.FromString("base").String(), digest.FromString("top").String()}},
		"history": []any{
			map[string]any{"created": "2020-01-01T00:00:00Z", "author": "a", "created_by": "add base"},
			map[string]any{"created": "2020-01-02T00:00:00Z", "created_by": "CMD run", "empty_layer": true},
			map[string]any{"created": "2020-01-03T00:00:00Z", "created_by": "/bin/sh -c add top", "comment": "c"},
		},
	} {
		if !reflect.DeepEqual(config[name], want) {
			t.Errorf("%s is %v", name, config[name])
		}
	}
	if text := string(to.blobs[key("ns/app", m.Blobs[0].Digest)]); !strings.Contains(text, "12345678901234567") {
		t.Errorf("a number lost digits: %s", text)
	}

	// It is converted once, and always to the same.
	from.takeAsked()
	if again := mustCopy(t, c, image); again.Manifest.Digest != m.Digest || again.Copied > 0 {
		t.Errorf("again: %+v", again)
	}
	for _, request := range from.takeAsked() {
		if strings.HasPrefix(request, "blob") {
			t.Errorf("again: %s", request)
		}
	}
	elsewhere := newShelf(t)
	if other := mustCopy(t, copier(from, elsewhere), image); other.Manifest.Digest != m.Digest {
		t.Errorf("elsewhere it is %s and not %s", other.Manifest.Digest, m.Digest)
	}
}

func TestImpossibleConversion(t *testing.T) {
	from := newShelf(t)
	plain, packed := from.blob("ns/app", []byte("not packed")).Digest, from.blob("ns/app", pack(t, "packed")).Digest
	for want, content := range map[string]string{
		"1 layers and a history of 0": `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + plain.String() + `"}]}`,
		"0 layers":                    `{"schemaVersion":1}`,
		"its history":                 `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + plain.String() + `"}],"history":[{"v1Compatibility":"{"}]}`,
		"gzip":                        `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + plain.String() + `"}],"history":[{"v1Compatibility":"{}"}]}`,
		"no configuration":            `{"schemaVersion":1,"fsLayers":[{"blobSum":"` + packed.String() + `"}],"history":[{"v1Compatibility":"null"}]}`,
	} {
		d := from.add("ns/app", content)
		to := newShelf(t)
		_, err := copier(from, to).Copy(t.Context(), images.Image{Digest: d.Digest, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
		if err == nil || !strings.Contains(err.Error(), want) || len(to.manifests)+len(to.converted) > 0 {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzConversion converts what is not to be trusted.
func FuzzConversion(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"` + layer + `"}],"history":[{"v1Compatibility":"{\"throwaway\":true}"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		d := digest.FromBytes(content)
		m, err := images.ParseManifest(content, "", d)
		if err != nil {
			return
		}
		from, to := newShelf(t), newShelf(t)
		from.manifests[key("ns/app", d)] = m
		result, err := copier(from, to).Copy(t.Context(), images.Image{Digest: d, Sources: []string{"ns/app"}, Repositories: []string{"ns/app"}})
		if err == nil && to.manifests[key("ns/app", result.Manifest.Digest)] == nil {
			t.Fatal("copied, and not there")
		}
	})
}
