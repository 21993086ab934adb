package imagecopy

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// Codes of the errors of this package.
var (
	CodeImageMissing = fault.Code{
		ID:      "OPENSHIFT_IMAGE_MISSING",
		Meaning: "The current image of a tag is neither in the registry that it is copied from nor where it is copied to.",
		Fix:     "push or import the tag again, or delete it with oc tag -d, and repeat the backup or restore",
	}
	CodeNoRegistry = fault.Code{
		ID:      "OPENSHIFT_NO_REGISTRY",
		Meaning: "The images of a backup cannot be restored, as the cluster has no registry of its own that the plugin can find.",
		Fix: "turn on the image registry of the cluster, or restore without images: set spec.backupImages of the " +
			"DataProtectionApplication to false",
	}
	CodeBackupUnreadable = fault.Code{
		ID:      "OPENSHIFT_BACKUP_UNREADABLE",
		Meaning: "The Backup that a restore is from is not in the cluster, and nothing else tells which backup storage location has its images.",
		Fix:     "wait until Velero has synchronised the Backup from its location, and restore again",
	}
	CodeImagesUnavailable = fault.Code{
		ID:      "OPENSHIFT_IMAGES_UNAVAILABLE",
		Meaning: "Images cannot be copied, for a reason that the error of an earlier image stream of the same backup or restore gives.",
		Fix:     "see the error of the image stream that this one names",
	}
	CodeImageUnreadable = fault.Code{
		ID:      "OPENSHIFT_IMAGE_UNREADABLE",
		Meaning: "An image stream names an image of the cluster's registry without a digest by which it could be copied.",
		Fix:     "import or push the tag again, or delete it with oc tag -d",
	}
	CodeNoPrefix = fault.Code{
		ID:      "OPENSHIFT_NO_PREFIX",
		Meaning: "Images would be stored in the folder docker/ at the root of a backup storage location, where Velero takes it for a folder of another program and the location becomes unavailable.",
		Fix:     "set spec.objectStorage.prefix of the backup storage location, or back up without images: annotate the Backup with migration.openshift.io/disable-image-copy=true",
	}
	CodeReadOnly = fault.Code{
		ID:      "OPENSHIFT_LOCATION_READ_ONLY",
		Meaning: "Images are to be removed from a backup storage location whose spec.accessMode is ReadOnly.",
		Fix:     "look with --dry-run, or set spec.accessMode of the backup storage location to ReadWrite",
	}
	CodeNoMigrationRegistry = fault.Code{
		ID:      "OPENSHIFT_NO_MIGRATION_REGISTRY",
		Meaning: "A migration does not say, or not as HOST:PORT, which registry the images go through.",
		Fix:     "annotate the Backup and the Restore with openshift.io/migration-registry, or the Backup with migration.openshift.io/disable-image-copy=true",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeImageMissing, CodeNoRegistry, CodeBackupUnreadable, CodeImagesUnavailable, CodeImageUnreadable,
	CodeNoPrefix, CodeReadOnly, CodeNoMigrationRegistry,
}

// Incomplete is the error for an image stream of which some tags come without their
// images, while all else is copied. Each line of it names a tag.
type Incomplete struct{ failures error }

func (i *Incomplete) Error() string { return i.failures.Error() }
func (i *Incomplete) Unwrap() error { return i.failures }

// imageFailed is the error for a current image that cannot be copied.
func imageFailed(image plannedImage, err error) error {
	what := fmt.Sprintf("image %s of tag %s", image.digest, strings.Join(image.currentOf, ", "))
	if errors.Is(err, fs.ErrNotExist) {
		return &fault.Error{Code: CodeImageMissing, What: what, Err: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func tagFailed(tag string, err error) error { return fmt.Errorf("tag %s: %w", tag, err) }

func noRegistry() error {
	return &fault.Error{Code: CodeNoRegistry, What: "its images have no registry to go to"}
}

func backupUnreadable(r *velero.Restore, err error) error {
	return &fault.Error{Code: CodeBackupUnreadable, What: fmt.Sprintf("Backup %s/%s", r.Metadata.Namespace, r.Spec.BackupName), Err: err}
}

func noPrefix(l *location.Location) error {
	return &fault.Error{Code: CodeNoPrefix, What: fmt.Sprintf("backup storage location %s/%s has no prefix", l.Namespace, l.Name)}
}

func isReadOnly(l *location.Location) error {
	return &fault.Error{Code: CodeReadOnly, What: fmt.Sprintf("backup storage location %s/%s is read-only", l.Namespace, l.Name)}
}

func noMigrationRegistry(kind string, t *velero.Task) error {
	return &fault.Error{Code: CodeNoMigrationRegistry, What: fmt.Sprintf("%s %s of a migration names no registry for images", kind, t.Metadata.Name)}
}

func imagesUnavailable(told string) error {
	return &fault.Error{Code: CodeImagesUnavailable, What: "images cannot be copied, for the reason that the error of " + told + " gives"}
}

func imageUnreadable(tag, reference string, err error) error {
	return &fault.Error{Code: CodeImageUnreadable, What: fmt.Sprintf("image %s of tag %s", reference, tag), Err: err}
}

func badMigrationRegistry(host string, err error) error {
	return &fault.Error{Code: CodeNoMigrationRegistry, What: fmt.Sprintf("images cannot go through registry %q", host), Err: err}
}
