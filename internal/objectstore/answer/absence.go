package answer

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
)

// Velero deletes a backup whose archive cannot be read only if the text of the
// error says that the archive is absent: from 1.18.1 on it looks for one of these
// phrases, in any case. With any other text it keeps the backup. A mistyped bucket
// whose error says that the bucket "does not exist" would make Velero forget
// backups that are still there.
var absencePhrases = regexp.MustCompile(`(?i)not found|does not exist|nosuchkey|blobnotfound|objectnotexist`)

// Absent returns the error for an object that is absent, with what the server
// said as its cause. It is [fs.ErrNotExist], and its text has one of the phrases:
//
//	object not found: HTTP 404
func Absent(cause error) error { return &absent{cause} }

type absent struct{ cause error }

func (e *absent) Error() string {
	if text := e.cause.Error(); SaysAbsent(text) {
		return text
	}
	return "object not found: " + e.cause.Error()
}

func (*absent) Is(target error) bool { return target == fs.ErrNotExist }

func (e *absent) Unwrap() error { return e.cause }

// SaysAbsent reports whether Velero takes the text of an error for the absence of
// an object.
func SaysAbsent(text string) bool { return absencePhrases.MatchString(text) }

// Reword makes sure that the text of an error says that an object is absent only
// if the error is [fs.ErrNotExist]. Every error of a store passes it last.
//
// For example it turns the server's "The specified bucket does not exist" into
// "The specified bucket is missing".
func Reword(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || !SaysAbsent(err.Error()) {
		return err
	}
	return &reworded{absencePhrases.ReplaceAllStringFunc(err.Error(), otherWords), err}
}

// otherWords replaces a phrase. The name of an object can contain one as well; it
// remains readable.
func otherWords(phrase string) string {
	switch strings.ToLower(phrase) {
	case "not found":
		return "missing"
	case "does not exist":
		return "is missing"
	case "nosuchkey":
		return phrase[:6] + "-" + phrase[6:]
	case "blobnotfound":
		return phrase[:4] + "-" + phrase[4:]
	}
	return phrase[:6] + "-" + phrase[6:] // objectnotexist
}

// reworded is an error with another text.
type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }
