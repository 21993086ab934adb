// Package liar changes the answers of an HTTP server as proxies, caches and bad
// networks do. A fuzz test gives it a script, and finds out whether a client takes
// one of its answers for an object, a list or a success that it is not.
package liar

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
)

// Liar changes the answers to requests. It is not safe for concurrent use: the
// server calls it with its lock held.
type Liar struct {
	// Script has a byte for each answer, and begins anew at its end. The lower bits
	// choose the lie, and [Instead] that the server never sees the request.
	Script []byte

	answers int
	told    []string
}

// Instead is the bit of a script's byte that answers in the place of the server.
const Instead = 0x40

// lie changes an answer, or fails as the connection does.
type lie struct {
	name string
	// change is nil for the truth.
	change func(r *http.Request, resp *http.Response) error
	// instead reports whether the answer needs nothing of the server's.
	instead bool
}

// lies are all that the script can choose from. None of them changes bytes in
// flight, or invents a well-formed answer of the protocol: no client could know.
var lies = []lie{
	{name: "the truth"},
	{"no Content-Range", func(_ *http.Request, resp *http.Response) error { resp.Header.Del("Content-Range"); return nil }, false},
	{"no Content-Range and status 200", func(_ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusPartialContent {
			resp.Header.Del("Content-Range")
			resp.StatusCode = http.StatusOK
		}
		return nil
	}, false},
	{"another Content-Range", func(_ *http.Request, resp *http.Response) error {
		if resp.Header.Get("Content-Range") != "" {
			resp.Header.Set("Content-Range", "bytes 1-4/99")
		}
		return nil
	}, false},
	{"no ETag", func(_ *http.Request, resp *http.Response) error { resp.Header.Del("ETag"); return nil }, false},
	{"a weak ETag", func(_ *http.Request, resp *http.Response) error {
		if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
			resp.Header.Set("ETag", "W/"+tag)
		}
		return nil
	}, false},
	{"no Content-Length", func(_ *http.Request, resp *http.Response) error { resp.ContentLength = -1; return nil }, false},
	{"compressed", func(r *http.Request, resp *http.Response) error { return compress(r, resp, false) }, false},
	{"compressed, with its length", func(r *http.Request, resp *http.Response) error { return compress(r, resp, true) }, false},
	{"a body that ends early", func(_ *http.Request, resp *http.Response) error { return cut(resp, io.EOF) }, false},
	{"a connection that breaks in the body", func(_ *http.Request, resp *http.Response) error { return cut(resp, io.ErrUnexpectedEOF) }, false},
	{"a connection that breaks before the answer", func(*http.Request, *http.Response) error { return io.ErrUnexpectedEOF }, true},
	{"an empty answer", func(r *http.Request, resp *http.Response) error { return page(r, resp, 200, "", "") }, true},
	{"a welcome page", func(r *http.Request, resp *http.Response) error {
		return page(r, resp, 200, "<html><h1>Welcome</h1></html>", "text/html")
	}, true},
	{"JSON", func(r *http.Request, resp *http.Response) error {
		return page(r, resp, 200, `{"status": "ok"}`, "application/json")
	}, true},
	{"a page of a proxy that does not find the store", func(r *http.Request, resp *http.Response) error {
		return page(r, resp, 404, "<html>404 page not found</html>", "text/html")
	}, true},
	{"a page of a route without a server", func(r *http.Request, resp *http.Response) error {
		return page(r, resp, 503, "<html><h1>Application is not available</h1></html>", "text/html")
	}, true},
	{"a page of an ingress with a limit", func(r *http.Request, resp *http.Response) error {
		return page(r, resp, 413, "<html><title>413 Request Entity Too Large</title></html>", "text/html")
	}, true},
	{"a redirection", func(r *http.Request, resp *http.Response) error {
		resp.Header.Set("Location", "https://login.example.com/")
		return page(r, resp, 302, "", "")
	}, true},
}

// Lies is how many lies there are, the truth included.
func Lies() int { return len(lies) }

// Next chooses the lie about the next answer. instead reports whether the server
// is not to see the request; then change makes the answer from an empty one.
func (l *Liar) Next() (change func(*http.Request, *http.Response) error, instead bool) {
	if len(l.Script) == 0 {
		return nil, false
	}
	choice := l.Script[l.answers%len(l.Script)]
	l.answers++
	chosen := lies[int(choice&^Instead)%len(lies)]
	l.told = append(l.told, chosen.name)
	return chosen.change, chosen.instead && choice&Instead != 0
}

// Told names the lies told so far.
func (l *Liar) Told() []string { return l.told }

func compress(r *http.Request, resp *http.Response, withLength bool) error {
	if r.Method == http.MethodHead || resp.ContentLength == 0 || resp.Header.Get("Content-Encoding") != "" {
		return nil
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	resp.ContentLength = -1
	if withLength {
		resp.ContentLength = int64(b.Len())
	}
	resp.Header.Set("Content-Encoding", "gzip")
	resp.Body = io.NopCloser(&b)
	return nil
}

// cut ends a body after two thirds, as a connection does that says no length, or
// that breaks.
func cut(resp *http.Response, end error) error {
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	body := io.Reader(bytes.NewReader(content[:len(content)*2/3]))
	if end == io.EOF {
		resp.ContentLength = -1
	} else {
		body = io.MultiReader(body, broken{end})
	}
	resp.Body = io.NopCloser(body)
	return nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// page puts another answer in the place of the server's.
func page(r *http.Request, resp *http.Response, status int, body, contentType string) error {
	location := resp.Header.Get("Location")
	resp.StatusCode, resp.Status = status, http.StatusText(status)
	resp.Header = http.Header{}
	if contentType != "" {
		resp.Header.Set("Content-Type", contentType)
	}
	if location != "" {
		resp.Header.Set("Location", location)
	}
	resp.ContentLength = int64(len(body))
	if r.Method == http.MethodHead {
		body = ""
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return nil
}
