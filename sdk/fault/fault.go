// Package fault holds the error that an administrator can act on: it names
// what failed, the object it failed on, and the fix.
package fault

import "strings"

// A Code identifies one kind of failure. Its ID is stable between releases, so
// that documentation and alerts can refer to it. It is an error in order to be
// the target of errors.Is:
//
//	if errors.Is(err, config.UnknownKey) {
type Code struct {
	ID      string // upper case with underscores: S3_ACCESS_DENIED
	Meaning string // what it means, one sentence
	Fix     string // what to do, one sentence; used when an Error brings no Fix of its own
}

// Error returns the meaning and the ID.
func (c Code) Error() string { return c.Meaning + " [" + c.ID + "]" }

// Error reports one failure. Its text is
//
//	WHAT: CAUSE; fix: FIX [CODE]
//
// in which an absent part is left out.
type Error struct {
	Code Code
	What string // what failed, and on which object: "error putting object backups/b/b.tar.gz"
	Fix  string // one sentence; Code.Fix when empty
	Err  error  // the cause, may be nil
}

// Error implements the error interface.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	fix := e.Fix
	if fix == "" {
		fix = e.Code.Fix
	}
	if fix != "" {
		b.WriteString("; fix: ")
		b.WriteString(fix)
	}
	if e.Code.ID != "" {
		b.WriteString(" [" + e.Code.ID + "]")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the code of e, so that errors.Is(err, code) holds
// for each code that an error, or one that it wraps or joins, carries.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code.ID == e.Code.ID
}
