package imagebuild_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
)

var architectures = []string{"amd64", "arm64", "ppc64le", "s390x"}

// Every Dockerfile of the project makes an init container that OADP and Velero
// can run: under any user id, and with nothing in the image but its program.
func TestPluginImages(t *testing.T) {
	root := filepath.Join("..", "..")
	dockerfiles, err := filepath.Glob(filepath.Join(root, "Dockerfile.*"))
	if err != nil || len(dockerfiles) == 0 {
		t.Fatalf("%d Dockerfiles: %v", len(dockerfiles), err)
	}
	for _, file := range dockerfiles {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, arch := range architectures {
				args := map[string]string{"TARGETARCH": arch, "VERSION": "v1.2.3", "REVISION": "abc"}
				image, err := imagebuild.FromDockerfile(file, args)
				if err != nil {
					t.Fatal(err)
				}
				name := image.Labels["org.opencontainers.image.title"]
				program := "/" + name
				if want := []string{program, "install", "/target"}; !slices.Equal(image.Entrypoint, want) {
					t.Errorf("entry point %q, not %q", image.Entrypoint, want)
				}
				if user, _, _ := strings.Cut(image.User, ":"); strings.Trim(user, "0123456789") != "" || strings.Trim(user, "0") == "" {
					t.Errorf("user %q is not a number other than 0", image.User)
				}
				for key, want := range map[string]string{
					"org.opencontainers.image.version":  "v1.2.3",
					"org.opencontainers.image.revision": "abc",
					"org.opencontainers.image.licenses": "Apache-2.0",
				} {
					if got := image.Labels[key]; got != want {
						t.Errorf("label %s is %q, not %q", key, got, want)
					}
				}
				want := []imagebuild.File{
					{Path: "/licenses/LICENSE", Source: filepath.Join(root, "LICENSE")},
					{Path: program, Source: filepath.Join(root, "dist", "linux-"+arch, name)},
				}
				if !slices.Equal(image.Files, want) {
					t.Errorf("files %v, not %v", image.Files, want)
				}
			}
		})
	}
}

const dockerfile = `FROM scratch
ARG TARGETARCH
ARG VERSION=dev
LABEL org.opencontainers.image.title=tool \
      org.opencontainers.image.version="${VERSION}"
COPY notes.txt /docs/
COPY bin-${TARGETARCH}/tool /
USER 65532
ENTRYPOINT ["/tool", "go"]
`

// writeContext makes a folder with a Dockerfile and what it copies.
func writeContext(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", dockerfile, 0o600)
	write("notes.txt", "notes", 0o600)
	for _, arch := range architectures {
		write("bin-"+arch+"/tool", "program for "+arch, 0o700)
	}
	return filepath.Join(dir, "Dockerfile")
}

func buildIndex(t *testing.T, file string) v1.ImageIndex {
	t.Helper()
	var images []imagebuild.Image
	for _, arch := range architectures {
		image, err := imagebuild.FromDockerfile(file, map[string]string{"TARGETARCH": arch})
		if err != nil {
			t.Fatal(err)
		}
		image.Created = time.Unix(1_700_000_000, 0)
		images = append(images, image)
	}
	index, err := imagebuild.Index(images)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// An archive holds what its Dockerfile says, for every architecture.
func TestArchive(t *testing.T) {
	file := writeContext(t, dockerfile)
	archive := filepath.Join(t.TempDir(), "tool.oci.tar")
	if err := imagebuild.WriteArchive(archive, "localhost/test/tool", "v1", buildIndex(t, file)); err != nil {
		t.Fatal(err)
	}
	index, annotations := readArchive(t, archive)
	if got, want := annotations["io.containerd.image.name"], "localhost/test/tool:v1"; got != want {
		t.Errorf("the image is named %q, not %q", got, want)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, descriptor := range manifest.Manifests {
		arch := descriptor.Platform.Architecture
		found = append(found, arch)
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkTool(t, image, arch)
	}
	if !slices.Equal(found, architectures) {
		t.Errorf("architectures %v, not %v", found, architectures)
	}
}

func checkTool(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != arch {
		t.Errorf("platform %s/%s, not linux/%s", config.OS, config.Architecture, arch)
	}
	if got, want := config.Config.Entrypoint, []string{"/tool", "go"}; !slices.Equal(got, want) {
		t.Errorf("entry point %q, not %q", got, want)
	}
	if got := config.Config.User; got != "65532" {
		t.Errorf("user %q", got)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != "dev" {
		t.Errorf("version %q, not the default", got)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	got := map[string]string{}
	for headers := tar.NewReader(content); ; {
		header, err := headers.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(headers)
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = header.FileInfo().Mode().String() + " " + string(text)
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 1_700_000_000 {
			t.Errorf("%s belongs to %d:%d, is of %v", header.Name, header.Uid, header.Gid, header.ModTime)
		}
	}
	want := map[string]string{
		"docs/":          "drwxr-xr-x ",
		"docs/notes.txt": "-rw-r--r-- notes",
		"tool":           "-rwxr-xr-x program for " + arch,
	}
	if !maps.Equal(got, want) {
		t.Errorf("content %v, not %v", got, want)
	}
}

// readArchive unpacks an archive and returns the one image in it.
func readArchive(t *testing.T, archive string) (v1.ImageIndex, map[string]string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	for headers := tar.NewReader(file); ; {
		header, err := headers.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(headers)
		path := filepath.Join(dir, header.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%v; %v", manifest, err)
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index, manifest.Manifests[0].Annotations
}

// The same files give the same bytes, wherever and whenever they were written.
func TestArchivesAreReproducible(t *testing.T) {
	var archives [2][]byte
	for i := range archives {
		file := writeContext(t, dockerfile)
		at := time.Now().Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(filepath.Dir(file), "notes.txt"), at, at); err != nil {
			t.Fatal(err)
		}
		archive := filepath.Join(t.TempDir(), "tool.oci.tar")
		if err := imagebuild.WriteArchive(archive, "localhost/test/tool", "v1", buildIndex(t, file)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = content
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two builds of the same image differ")
	}
}

// What only a container engine could build is refused, with its line.
func TestRefusedDockerfiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a base image":           {"FROM debian\n", "FROM scratch"},
		"two stages":             {"FROM scratch AS a\nFROM scratch\n", "FROM scratch"},
		"a command":              {"FROM scratch\nRUN true\n", ":2: RUN"},
		"an entry point's shell": {"FROM scratch\n\nENTRYPOINT /tool\n", ":3: "},
		"another stage's files":  {"FROM scratch\nCOPY --from=x /a /b\n", ":2: COPY"},
		"another owner":          {"FROM scratch\nCOPY --chown=1 notes.txt /\n", ":2: COPY"},
		"files from elsewhere":   {"FROM scratch\nCOPY ../notes.txt /\n", ":2: COPY"},
		"an argument not given":  {"FROM scratch\nARG REVISION\n", ":2: no value for the argument REVISION"},
		"an argument not there":  {"FROM scratch\nUSER ${NOBODY}\n", "NOBODY"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := imagebuild.FromDockerfile(writeContext(t, c.text), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not name %q", err, c.want)
			}
		})
	}
}
