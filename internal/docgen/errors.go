package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/images/registry"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/azuredisk"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/ebs"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/kubevirt/codes"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// area is a part of the page of error codes.
type area struct {
	title string
	codes []fault.Code
}

// catalogue has the codes of every package; a test compares it with the sources.
var catalogue = []area{
	{"Steps of check", sdk.Codes},
	{"Configuration of locations", []fault.Code{
		config.UnknownKey, config.InvalidValue, config.MissingKey, config.Conflict,
	}},
	{"Location files", []fault.Code{
		location.UnreadableFile, location.NotInFile, location.InvalidObject,
	}},
	{"Credentials files", []fault.Code{
		credfile.Malformed, credfile.ProfileMissing, credfile.Incomplete,
	}},
	{"Credentials that a location may not use", credpolicy.Codes},
	{"The way to services", endpoint.Codes},
	{"Access to AWS and compatible services", awsaccess.Codes},
	{"S3 and compatible object stores", s3.Codes},
	{"EBS volumes and snapshots", ebs.Codes},
	{"Access to Azure", azureaccess.Codes},
	{"Azure Blob storage", azblob.Codes},
	{"Managed disks of Azure and their snapshots", azuredisk.Codes},
	{"Credentials for images", []fault.Code{
		registrysecret.NoCredential, registrysecret.UnmanagedLocation, registrysecret.NonAdminLocation, registrysecret.NotReconciled, registrysecret.RegistryIncomplete, registrysecret.UnsupportedProvider, registrysecret.DefaultMissing, registrysecret.SecretMissing, registrysecret.KeyMissing, registrysecret.Forbidden, registrysecret.SecretUnreadable, registrysecret.FileUnreadable, registrysecret.NoAmbient, registrysecret.LocationMissing, registrysecret.RegionMissing, registrysecret.BucketFailed,
	}},
	{"Container registries", registry.Codes},
	{"The Kubernetes API", kube.Codes},
	{"Backups and Restores", velero.Codes},
	{"Objects of OpenShift", imagecopy.Codes},
	{"Virtual machines", codes.All},
}

const errorsHead = `# Error codes

<!-- Written by make generate. -->

An error of these plugins reads

    WHAT FAILED, ON WHICH OBJECT: CAUSE; fix: WHAT TO DO [CODE]

in the log of Velero, in the status of a location and in the description of a backup or restore. A code keeps its meaning
between releases. The fix in the error itself can be more precise than the one here, since it knows the object.
`

// errorsPage returns the page of error codes.
func errorsPage(areas []area) []byte {
	var b bytes.Buffer
	b.WriteString(errorsHead)
	for _, a := range areas {
		fmt.Fprintf(&b, "\n## %s\n\n| code | meaning | fix |\n|---|---|---|\n", a.title)
		codes := slices.SortedFunc(slices.Values(a.codes), func(x, y fault.Code) int { return strings.Compare(x.ID, y.ID) })
		for _, c := range codes {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.ID, cell(c.Meaning), cell(c.Fix))
		}
	}
	return b.Bytes()
}

// cell escapes what would end a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
