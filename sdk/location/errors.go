package location

import "github.com/oadp-plugins/oadp-plugins/sdk/fault"

// Codes of the errors of this package; errors.Is tells whether an error has one.
var (
	UnreadableFile = fault.Code{
		ID:      "LOCATION_FILE_UNREADABLE",
		Meaning: "The file is neither YAML nor JSON.",
		Fix:     "write the file with `kubectl get backupstoragelocation NAME -o yaml`",
	}
	NotInFile = fault.Code{
		ID:      "LOCATION_NOT_IN_FILE",
		Meaning: "The file does not hold the wanted location, or holds several and none was named.",
		Fix:     "write the file with `kubectl get backupstoragelocation NAME -o yaml`, or name one of its locations",
	}
	InvalidObject = fault.Code{
		ID:      "LOCATION_INVALID",
		Meaning: "A location lacks a field, or a field has a value of the wrong type.",
		Fix:     "correct the field of the location",
	}
)
