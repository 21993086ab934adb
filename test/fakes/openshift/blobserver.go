package openshift

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"sync"
)

// blobServer gives away the content of blobs, as the store behind a registry
// does at URLs that are signed.
type blobServer struct {
	server *httptest.Server

	mu       sync.Mutex
	on       bool
	received []http.Header
}

func newBlobServer(registry *httputil.ReverseProxy) *blobServer {
	b := &blobServer{}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b.mu.Lock()
		b.received = append(b.received, req.Header.Clone())
		b.mu.Unlock()
		registry.ServeHTTP(w, req)
	}))
	return b
}

func (b *blobServer) url(path string) string { return b.server.URL + path }

// RedirectBlobs sends clients from now on to another server for the content of
// blobs, or no longer.
func (r *Registry) RedirectBlobs(on bool) {
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	r.blobs.on = on
}

func (r *Registry) redirects() bool {
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	return r.blobs.on
}

// Redirected returns the headers of the requests that followed a redirect.
func (r *Registry) Redirected() []http.Header {
	r.blobs.mu.Lock()
	defer r.blobs.mu.Unlock()
	return slices.Clone(r.blobs.received)
}
