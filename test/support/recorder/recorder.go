// Package recorder puts a server in front of another one that passes requests on
// and notes them, so that a test can say what a plugin asked for and with whose
// rights.
package recorder

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
)

// Recorder is a running server over TLS. It is safe for concurrent use.
type Recorder struct {
	URL   string
	CAPEM []byte // of the server's certificate

	server *httptest.Server

	mu       sync.Mutex
	requests []Request
}

// Request is a request as it arrived.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	// Body is the beginning of the body, at most 64 KiB of it, and only of
	// requests to a server that Listen started.
	Body string
}

// String is the form of a request in the messages of tests.
func (r Request) String() string { return r.Method + " " + r.Path }

// Start starts a recorder in front of a server. transport is the way there.
func Start(target string, transport http.RoundTripper) (*Recorder, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which is part of signatures
		},
		Transport:     transport,
		FlushInterval: -1, // watches of the Kubernetes API are streams
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	r := &Recorder{}
	r.start(func(w http.ResponseWriter, req *http.Request) {
		r.note(req, "")
		proxy.ServeHTTP(w, req)
	})
	return r, nil
}

// Listen starts a recorder without a server behind it. It answers every request
// with the status 403.
func Listen() *Recorder {
	r := &Recorder{}
	r.start(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(req.Body, 64<<10))
		r.note(req, string(bytes.ToValidUTF8(body, nil)))
		w.WriteHeader(http.StatusForbidden)
	})
	return r
}

func (r *Recorder) start(serve http.HandlerFunc) {
	r.server = httptest.NewUnstartedServer(serve)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.StartTLS()
	r.URL = r.server.URL
	r.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
}

// Close ends the server.
func (r *Recorder) Close() {
	r.server.CloseClientConnections()
	r.server.Close()
}

func (r *Recorder) note(req *http.Request, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, Request{req.Method, req.URL.Path, req.URL.Query(), req.Header.Clone(), body})
}

// Requests returns what arrived so far.
func (r *Recorder) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Forget drops what arrived so far.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}
