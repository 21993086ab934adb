// Package fields reads and edits objects as decoded JSON, so that the fields
// that a plugin does not know survive. A value of an unexpected type reads as
// absent and is left alone: the API server says better what is wrong with it.
package fields
