// Package answer holds the rules about what the HTTP server of an object store
// may answer.
//
// Most stores are imitations of a cloud's, and proxies stand in front of them.
// They drop headers, compress bodies, send another range than was asked for, and
// answer with pages of their own. What breaks a rule is an error here, so that it
// never passes for an object, a list or a success. All stores follow these rules,
// so they are in one place:
//
//   - range.go: the body of an object, or of a range of one
//   - document.go: every other body, and pages that no store wrote
//   - absence.go: the words for an object that is absent, which no other error
//     may contain
package answer

import (
	"net/http"
	"strings"
)

// Head is an answer about an object, without its body.
type Head struct {
	Status int
	Header http.Header
	Length int64 // bytes of the body according to Content-Length, -1 without one
}

// HeadOf returns the head of an answer.
func HeadOf(r *http.Response) Head {
	return Head{Status: r.StatusCode, Header: r.Header, Length: r.ContentLength}
}

// Version returns the entity tag, which changes with the content of the object,
// or "" without one.
func (h Head) Version() string { return ETag(h.Header.Get("ETag")) }

// ETag returns an entity tag without the mark of a weak one. Proxies that could
// change the body add the mark (W/"abc" for "abc"), and the store, which compares
// strongly, would not know its own tag again.
func ETag(tag string) string { return strings.TrimPrefix(strings.TrimSpace(tag), "W/") }

// Encoding returns how the body is compressed, "gzip" for example, or "" for a
// body that is sent as it is. S3 clients that send a body in chunks can leave
// "aws-chunked" behind in the properties of the object, which says nothing about
// its bytes.
func (h Head) Encoding() string {
	var encodings []string
	for _, value := range h.Header.Values("Content-Encoding") {
		for name := range strings.SplitSeq(value, ",") {
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case "", "identity", "aws-chunked":
			default:
				encodings = append(encodings, name)
			}
		}
	}
	return strings.Join(encodings, ", ")
}
