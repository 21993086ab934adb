// Dockerfiles writes the Dockerfile of each plugin, such as Dockerfile.aws for
// plugins/aws, into the root of the repository. The files differ in the name of
// the binary and in a description, and any container engine reads them.
//
//	go run ./internal/imagebuild/cmd/dockerfiles [-check]
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/oadp-plugins/oadp-plugins/internal/generated"
)

// plugin is what the Dockerfile of a plugin is made from.
type plugin struct {
	Folder      string // below plugins/, and the suffix of the Dockerfile
	Binary      string // as in PLUGIN_FOLDERS of the Makefile
	Description string // label of the image
}

// plugins has a row for each folder in plugins/.
var plugins = []plugin{
	{"aws", "velero-plugin-for-aws", "Velero plugin for Amazon S3 and stores that speak its protocol"},
	{"azure", "velero-plugin-for-microsoft-azure", "Velero plugin for Azure Blob storage and managed disks"},
	{"openshift", "velero-plugins", "Velero plugin for the objects of OpenShift"},
	{"kubevirt", "kubevirt-velero-plugin", "Velero plugin for the virtual machines of KubeVirt"},
}

//go:embed Dockerfile.tmpl
var dockerfile string

func main() {
	check := flag.Bool("check", false, "fail when a Dockerfile is not up to date; write nothing")
	flag.Parse()
	if err := run(".", *check); err != nil {
		fmt.Fprintln(os.Stderr, "dockerfiles:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	form, err := template.New("Dockerfile").Parse(dockerfile)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range plugins {
		var text bytes.Buffer
		if err := form.Execute(&text, p); err != nil {
			return err
		}
		errs = append(errs, generated.Write(filepath.Join(root, "Dockerfile."+p.Folder), text.Bytes(), check))
	}
	return errors.Join(errs...)
}
