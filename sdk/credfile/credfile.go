// Package credfile reads the three forms of cloud credentials that Velero
// users keep in secrets: AWS shared credentials, Azure variables and Google
// JSON. It is tolerant of how people write and paste such files: CRLF, byte
// order marks, spaces and quotes.
//
// No error or log text of this package has content of a file in it, only names
// of profiles and entries.
package credfile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package; errors.Is tells whether an error has one.
var (
	Malformed = fault.Code{
		ID:      "CREDENTIALS_MALFORMED",
		Meaning: "A credentials file or the secret that holds it does not have the form that its provider prescribes.",
		Fix:     "correct the named line or field of the secret; the user guide shows the form for each provider",
	}
	ProfileMissing = fault.Code{
		ID:      "CREDENTIALS_PROFILE_MISSING",
		Meaning: "An AWS credentials file lacks the profile that the location names.",
		Fix:     "set config key profile of the location to one of the profiles in the file, or add the profile",
	}
	Incomplete = fault.Code{
		ID:      "CREDENTIALS_INCOMPLETE",
		Meaning: "A credentials file lacks entries without which it grants nothing.",
		Fix:     "add the named entries to the secret",
	}
)

// Sensitive is text that must not be shown. Formatting, logging and encoding it
// shows a placeholder; string(s) is the text.
type Sensitive string

const placeholder = "[hidden]"

// String implements fmt.Stringer.
func (s Sensitive) String() string {
	if s == "" {
		return ""
	}
	return placeholder
}

// GoString implements fmt.GoStringer.
func (s Sensitive) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Sensitive) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// lines returns the lines of a text file without their ends.
func lines(data []byte) []string {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

func malformed(format string, args ...any) error {
	return &fault.Error{Code: Malformed, What: fmt.Sprintf(format, args...)}
}

func incomplete(format string, args ...any) error {
	return &fault.Error{Code: Incomplete, What: fmt.Sprintf(format, args...)}
}
