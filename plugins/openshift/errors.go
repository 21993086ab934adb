package main

import (
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of the actions.
var (
	codeImagesNotCopied = fault.Code{
		ID:      "OPENSHIFT_IMAGES_NOT_COPIED",
		Meaning: "The images of an image stream belong into the backup, and this version does not copy images.",
		Fix: "set spec.backupImages of the DataProtectionApplication to false, or annotate the image stream with " +
			"openshift.io/skip-image-copy=true, and keep its images in another registry",
	}
	codeImageUnreadable = fault.Code{
		ID:      "OPENSHIFT_IMAGE_UNREADABLE",
		Meaning: "An image stream names an image of the cluster's registry without a digest by which it could be copied.",
		Fix:     "import or push the tag again, or delete it with oc tag -d",
	}
	codeNoMigrationRegistry = fault.Code{
		ID:      "OPENSHIFT_NO_MIGRATION_REGISTRY",
		Meaning: "A migration does not say which registry the images go through.",
		Fix:     "annotate the Backup and the Restore with openshift.io/migration-registry, or the Backup with migration.openshift.io/disable-image-copy=true",
	}
)

func imagesNotCopied() error {
	return &fault.Error{Code: codeImagesNotCopied, What: "its images are in the registry of the cluster, and images are not copied by this version"}
}

func noMigrationRegistry(kind string, t *task) error {
	return &fault.Error{Code: codeNoMigrationRegistry, What: fmt.Sprintf("%s %s of a migration names no registry for images", kind, t.Metadata.Name)}
}

func imageUnreadable(tag, reference string, err error) error {
	return &fault.Error{Code: codeImageUnreadable, What: fmt.Sprintf("image %s of tag %s", reference, tag), Err: err}
}
