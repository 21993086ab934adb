package sdk

import (
	"fmt"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// CodeForeignFolders is of a location that Velero refuses for what else is there.
var CodeForeignFolders = fault.Code{
	ID:      "CHECK_FOREIGN_FOLDERS",
	Meaning: "There are folders at the root of the location that Velero does not know, so it refuses the location.",
	Fix:     "give the location a prefix of its own in spec.objectStorage.prefix, and leave the folders as they are unless you know whose they are",
}

// Codes lists the codes of the steps of check that all stores have.
var Codes = []fault.Code{CodeForeignFolders}

// imagesFolder has the images of image streams that OADP backs up. It is at the
// root of the bucket, whatever the prefix of the location.
const imagesFolder = "docker/"

// foreignFolders is the error for folders at the root of a location that are not
// Velero's. They may hold what somebody needs, so it never says to remove them.
func foreignFolders(bucket, root string, folders []string) error {
	f := &fault.Error{
		Code: CodeForeignFolders,
		What: fmt.Sprintf("bucket %s has folders at the root of the location that are not Velero's: %q", bucket, folders),
	}
	if slices.Contains(folders, root+imagesFolder) && root == "" {
		f.Fix = "give the location a prefix in spec.objectStorage.prefix; docker/ has the images of image streams that OADP has backed up, " +
			"which backups in this bucket need to be restored: do not remove it"
	}
	return f
}

// misplacedKeys says of keys in spec.config that they have no effect there, since
// Velero puts its own values in their place.
func misplacedKeys(l *location.Location) []string {
	if l.Kind != location.BackupStorage {
		return nil
	}
	var notes []string
	for _, key := range []string{"bucket", "prefix"} {
		if value, ok := l.Config[key]; ok {
			notes = append(notes, fmt.Sprintf("%s %q in spec.config has no effect: it belongs into spec.objectStorage.%s", key, value, key))
		}
	}
	return notes
}
