package imagebuild

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Index joins images for several architectures into one that each machine
// takes its own from.
func Index(images []Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		built, err := image.Build()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", image.Architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        built,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: image.Architecture}},
		})
	}
	return index, nil
}

// WriteArchive writes an image to a file that podman load, skopeo copy
// oci-archive: and ctr images import read. Repository and tag are the name that
// it is loaded under. The same image gives the same bytes.
func WriteArchive(file, repository, tag string, image mutate.Appendable) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), "oci-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	named := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
		Annotations: map[string]string{
			"org.opencontainers.image.ref.name": tag,
			"io.containerd.image.name":          repository + ":" + tag,
		},
	}})
	if _, err := layout.Write(dir, named); err != nil {
		return err
	}
	partial := dir + ".tar"
	defer os.Remove(partial)
	if err := archiveFolder(partial, dir); err != nil {
		return err
	}
	return os.Rename(partial, file)
}

// archiveFolder writes the files below a folder to a tar file, in order of
// their names and without a trace of when and by whom.
func archiveFolder(file, dir string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return archiveFile(archive, filepath.ToSlash(name), path)
	})
	return errors.Join(err, archive.Close(), out.Close())
}

func archiveFile(archive *tar.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	err = archive.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
