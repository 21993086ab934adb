// Package imagebuild makes container images from programs that are built
// already, without a container engine, a registry or a base image.
//
// The images that are released are described by Dockerfiles, which any other
// builder understands too; those of the tests are put together in Go.
package imagebuild

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is the content and the configuration of an image for one architecture.
type Image struct {
	Architecture string // as GOARCH
	Files        []File
	Entrypoint   []string
	User         string
	Labels       map[string]string
	// Created is the time of the image and of all its files, to the second.
	Created time.Time
	// Uncompressed trades a large layer for a build that takes no time.
	Uncompressed bool
}

// File is a file of an image, owned by root.
type File struct {
	// Path is absolute. Its parents become folders.
	Path string
	// Source is the file on this machine. Everybody may read it in the image,
	// and execute it if its owner may here. Without a source it is a folder that
	// everybody may write to, as /tmp is.
	Source string
}

// Build returns the image, with its files in one layer. The same input gives
// the same digest. Layers are read from the files when they are needed.
func (i Image) Build() (v1.Image, error) {
	level := gzip.DefaultCompression
	if i.Uncompressed {
		level = gzip.NoCompression
	}
	layer, err := tarball.LayerFromOpener(i.layer, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(level))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: i.Created.UTC()}}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", i.Architecture
	config.Created = v1.Time{Time: i.Created.UTC()}
	config.Config = v1.Config{Entrypoint: i.Entrypoint, User: i.User, Labels: i.Labels}
	return mutate.ConfigFile(image, config)
}

// layer returns the files as a tar stream.
func (i Image) layer() (io.ReadCloser, error) {
	read, write := io.Pipe()
	go func() {
		archive := tar.NewWriter(write)
		err := i.writeFiles(archive)
		_ = write.CloseWithError(errors.Join(err, archive.Close()))
	}()
	return read, nil
}

func (i Image) writeFiles(archive *tar.Writer) error {
	made := map[string]bool{}
	for _, file := range i.Files {
		name := strings.TrimPrefix(path.Clean(file.Path), "/")
		if err := i.writeFolders(archive, made, path.Dir(name)); err != nil {
			return err
		}
		write := i.writeFile
		if file.Source == "" {
			write = i.writeSharedFolder
		}
		if err := write(archive, name, file.Source); err != nil {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
	}
	return nil
}

// writeFolders writes a folder and those above it that are not made yet.
func (i Image) writeFolders(archive *tar.Writer, made map[string]bool, name string) error {
	if name == "." || made[name] {
		return nil
	}
	if err := i.writeFolders(archive, made, path.Dir(name)); err != nil {
		return err
	}
	made[name] = true
	return archive.WriteHeader(i.header(tar.TypeDir, name+"/", 0o755))
}

func (i Image) writeSharedFolder(archive *tar.Writer, name, _ string) error {
	return archive.WriteHeader(i.header(tar.TypeDir, name+"/", 0o1777))
}

func (i Image) writeFile(archive *tar.Writer, name, source string) error {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := i.header(tar.TypeReg, name, 0o644)
	header.Size = info.Size()
	if info.Mode()&0o100 != 0 {
		header.Mode = 0o755
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

func (i Image) header(kind byte, name string, mode int64) *tar.Header {
	return &tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: i.Created.Truncate(time.Second), Format: tar.FormatUSTAR}
}
