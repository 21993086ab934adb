package registry

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// answerTime is how long a registry may take to answer a request for something.
// It may take longer at the end of an upload, when it copies a large blob.
const answerTime = time.Minute

// roundTripper sends requests to the registry, to its token server, and to the
// stores where the registry redirects clients to for blobs.
type roundTripper struct {
	transport *endpoint.Transport
	host      string // of the registry
	mayPlain  bool   // the registry may speak plain HTTP
	isPlain   atomic.Bool
	throttle  endpoint.Throttle
}

func newRoundTripper(host string, config Config) (*roundTripper, error) {
	trust := endpoint.Trust{CACert: string(config.CAs), CACertSource: "the certificates to trust for the registry"}
	if config.Insecure {
		trust.Unverified = []string{hostname(host)}
	}
	transport, err := endpoint.NewTransport(trust)
	if err != nil {
		return nil, err
	}
	transport.AnswerTime = answerTime
	return &roundTripper{
		transport: transport,
		host:      host,
		mayPlain:  config.Insecure || isLoopback(host),
	}, nil
}

// hostname returns a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func isLoopback(host string) bool {
	host = hostname(host)
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// errPlain says that a request for plain HTTP is not sent.
var errPlain = errors.New("plain HTTP is not used for this registry")

// RoundTrip implements http.RoundTripper.
func (w *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != w.host {
		return w.send(r)
	}
	if w.isPlain.Load() {
		return w.send(inPlain(r))
	}
	if r.URL.Scheme == "http" {
		return nil, errPlain
	}
	resp, err := w.send(r)
	if err != nil && endpoint.IsNotTLS(err) && w.mayPlain {
		w.isPlain.Store(true)
		return w.send(inPlain(r))
	}
	return resp, err
}

func inPlain(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return r
}

func (w *roundTripper) send(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		// go-containerregistry sends a request again when its token has expired,
		// with what is left of the body. So each request gets a new body here.
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r = r.WithContext(r.Context())
		r.Body = body
	}
	resp, err := w.transport.RoundTrip(r)
	if err == nil && resp.StatusCode >= 400 {
		w.throttle.Note(resp)
		resp.Body = &limitedBody{io.LimitReader(resp.Body, maxErrorSize), resp.Body}
	}
	return resp, err
}

// maxErrorSize is how much of an error document is read, in bytes. Proxies send
// whole web pages.
const maxErrorSize = 32 << 10

// limitedBody is the beginning of a body.
type limitedBody struct {
	io.Reader
	io.Closer
}
