package openshift

import (
	"io"
	"maps"
	"net/http"
)

// Counts is what a registry has been asked for.
type Counts struct {
	Requests map[Request]int
	// Received and Sent are bytes of blobs, also of those that did not get
	// through. Blobs that clients are redirected for are not sent.
	Received, Sent int64
}

// Request is one kind of request.
type Request struct {
	Method   string
	Resource Resource
}

// Counts tells what the registry has been asked for since it was started or
// ResetCounts was called. A request that is being served counts.
func (r *Registry) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	counts.Requests = maps.Clone(counts.Requests)
	return counts
}

// ResetCounts begins anew.
func (r *Registry) ResetCounts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = Counts{Requests: map[Request]int{}}
}

// count counts a request, and the bytes of a blob as they go by.
func (r *Registry) count(w http.ResponseWriter, req *http.Request, resource Resource) http.ResponseWriter {
	r.mu.Lock()
	r.counts.Requests[Request{req.Method, resource}]++
	r.mu.Unlock()
	switch resource {
	case Uploads:
		req.Body = received{req.Body, r}
	case Blobs:
		w = sent{w, r}
	}
	return w
}

func (r *Registry) add(received, sent int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Received += int64(received)
	r.counts.Sent += int64(sent)
}

// received is the body of a request.
type received struct {
	io.ReadCloser
	registry *Registry
}

func (b received) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.registry.add(n, 0)
	return n, err
}

// sent is an answer with a blob.
type sent struct {
	http.ResponseWriter
	registry *Registry
}

func (b sent) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p)
	b.registry.add(0, n)
	return n, err
}

func (b sent) Unwrap() http.ResponseWriter { return b.ResponseWriter }
