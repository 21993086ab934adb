package s3proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Match chooses the requests that a fault happens to.
type Match = func(Request) bool

// Operations matches requests of the named operations.
func Operations(names ...string) Match {
	return func(r Request) bool {
		for _, name := range names {
			if r.Operation() == name {
				return true
			}
		}
		return false
	}
}

// Part matches the upload of one part.
func Part(n int) Match {
	return func(r Request) bool {
		return r.Operation() == "UploadPart" && r.Query.Get("partNumber") == strconv.Itoa(n)
	}
}

// Answer refuses the request.
func Answer(status int, code, message string) inject.Fault {
	refusal := &Refusal{status, code, message}
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) { refusal.write(w, r) }
}

// SlowDown asks to send less.
func SlowDown() inject.Fault {
	return Answer(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
}

// ExpiredToken says that the session is over.
func ExpiredToken() inject.Fault {
	return Answer(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
}

// ErrorInBody answers 200 with an error in the body, as a server does that has to
// answer before it is done. The request does not reach the real server.
func ErrorInBody(code string) inject.Fault {
	refusal := &Refusal{Code: code, Message: "We encountered an internal error. Please try again."}
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusOK)
		refusal.writeBody(w)
	}
}

// HideChecksums answers as a server does that ignores checksum headers.
func HideChecksums() inject.Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) { service.ServeHTTP(hiding{w}, r) }
}

type hiding struct{ http.ResponseWriter }

func (h hiding) WriteHeader(status int) {
	for name := range h.Header() {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			h.Header().Del(name)
		}
	}
	h.ResponseWriter.WriteHeader(status)
}

// IgnoreRange answers with the whole object, as servers do that know no ranges.
// fetch gets the object by another way, since the range is part of the signature.
func IgnoreRange(fetch func(bucket, key string) ([]byte, error)) inject.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		request := newRequest(r)
		data, err := fetch(request.Bucket, request.Key)
		if err != nil {
			(&Refusal{http.StatusNotFound, "NoSuchKey", err.Error()}).write(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Header().Set("ETag", `"of the whole object"`)
		_, _ = w.Write(data)
	}
}

var onlyV2 = regexp.MustCompile(`<(NextContinuationToken|KeyCount)>[^<]*</(NextContinuationToken|KeyCount)>`)

// V1Body answers a ListObjectsV2 call with the body of a ListObjects call: there
// may be more, but no token to get it with.
func V1Body() inject.Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, r)
		body := onlyV2.ReplaceAll(answer.Body.Bytes(), nil)
		for name, values := range answer.Header() {
			if !strings.EqualFold(name, "Content-Length") {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}
}
