// Package fault holds the error that an administrator can act on: it names
// what failed, the object it failed on, and the fix.
package fault

import (
	"slices"
	"strings"
)

// A Code identifies one kind of failure. Its ID is stable between releases, so
// that documentation and alerts can refer to it.
type Code struct {
	ID      string // upper case with underscores: S3_ACCESS_DENIED
	Meaning string // what it means, one sentence
	Fix     string // what to do, one sentence; used when an Error brings no Fix of its own
}

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

// Is reports whether err, or an error that it wraps or joins, carries the code.
func (c Code) Is(err error) bool {
	if e, ok := err.(*Error); ok && e.Code.ID == c.ID {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return c.Is(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), c.Is)
	}
	return false
}
