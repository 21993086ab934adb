// Package images is about the images of image streams in a backup.
package images

import "github.com/oadp-plugins/oadp-plugins/sdk/fault"

// Codes of the errors of this package.
var (
	CodeNotCopied = fault.Code{
		ID:      "IMAGES_NOT_COPIED",
		Meaning: "The images of an image stream belong into the backup, and this version does not copy images.",
		Fix: "set spec.backupImages of the DataProtectionApplication to false, or annotate the image stream with " +
			"openshift.io/skip-image-copy=true, and keep its images in another registry",
	}
	CodeNoMigrationRegistry = fault.Code{
		ID:      "IMAGES_NO_MIGRATION_REGISTRY",
		Meaning: "A migration does not say which registry the images go through.",
		Fix:     "annotate the Backup and the Restore with openshift.io/migration-registry, or with migration.openshift.io/disable-image-copy=true",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{CodeNotCopied, CodeNoMigrationRegistry}
