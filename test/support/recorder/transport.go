package recorder

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// Sent notes the requests that a client sends, as "METHOD /path". The zero value is
// ready for use, and safe for concurrent use.
//
//	config.Wrap(sent.Transport)
type Sent struct {
	mu   sync.Mutex
	sent []string
}

// Transport returns a transport that notes requests and passes them on.
func (s *Sent) Transport(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(request *http.Request) (*http.Response, error) {
		s.mu.Lock()
		s.sent = append(s.sent, request.Method+" "+request.URL.Path)
		s.mu.Unlock()
		return next.RoundTrip(request)
	})
}

// Take returns the requests since the last call.
func (s *Sent) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

// Len returns how many requests there are since the last call of Take.
func (s *Sent) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// RoundTripper is a function as a transport.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Answering returns a transport that answers every request with the same JSON.
func Answering(json string) http.RoundTripper {
	return RoundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Request: r,
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   io.NopCloser(strings.NewReader(json)),
		}, nil
	})
}
