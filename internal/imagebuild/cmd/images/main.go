// Images builds the images of Dockerfiles into OCI archives, one for each, with
// all architectures in it. It needs no container engine and no registry.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "dist/images", "`folder` to write the archives to")
	prefix := flag.String("prefix", "localhost/oadp-plugins", "`prefix` of the names that the images are loaded under")
	version := flag.String("version", "dev", "`version` of the programs, and tag of the images")
	revision := flag.String("revision", "", "`commit` that the programs are built from")
	arches := flag.String("arch", "amd64", "`architectures`, with spaces between them")
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("name the Dockerfiles")
	}
	created, err := sourceDate()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	for _, dockerfile := range flag.Args() {
		var images []imagebuild.Image
		for arch := range strings.FieldsSeq(*arches) {
			image, err := imagebuild.FromDockerfile(dockerfile, map[string]string{
				"TARGETARCH": arch, "VERSION": *version, "REVISION": *revision,
			})
			if err != nil {
				return err
			}
			image.Created = created
			images = append(images, image)
		}
		if err := write(*out, *prefix, *version, images); err != nil {
			return fmt.Errorf("%s: %w", dockerfile, err)
		}
	}
	return nil
}

// sourceDate is the time of the images: what SOURCE_DATE_EPOCH says, so that
// the same sources give the same images.
func sourceDate() (time.Time, error) {
	seconds, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "0"), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0), nil
}

func write(out, prefix, version string, images []imagebuild.Image) error {
	name := images[0].Labels["org.opencontainers.image.title"]
	if name == "" {
		return errors.New("no label org.opencontainers.image.title, which names the image")
	}
	index, err := imagebuild.Index(images)
	if err != nil {
		return err
	}
	file := filepath.Join(out, name+".oci.tar")
	if err := imagebuild.WriteArchive(file, prefix+"/"+name, version, index); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("%s  %s/%s:%s@%s\n", file, prefix, name, version, digest)
	return nil
}
