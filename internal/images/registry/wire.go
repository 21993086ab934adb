package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/oadp-plugins/oadp-plugins/internal/stall"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Time limits of a request. Registries copy a large blob before they answer the
// end of its upload.
const (
	answerTime   = time.Minute
	uploadedTime = 5 * time.Minute
	idleConnTime = 90 * time.Second
)

// wire is the way to the registry, to its token server and to the stores where
// it sends clients for blobs.
type wire struct {
	pool     *http.Transport
	host     string // of the registry
	mayPlain bool   // the registry may speak plain HTTP
	isPlain  atomic.Bool
	limits   stall.Limits
	throttle throttle
}

func newWire(host string, config Config) (*wire, error) {
	roots, err := authorities(config.CAs)
	if err != nil {
		return nil, err
	}
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return &wire{
		host:     host,
		mayPlain: config.Insecure || isLoopback(host),
		limits:   stall.Limits{Head: answerTime, Body: stall.Limit},
		pool: &http.Transport{
			Proxy:       func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
			DialContext: stall.Dial,
			TLSClientConfig: &tls.Config{
				MinVersion:         tls.VersionTLS12,
				RootCAs:            roots,
				InsecureSkipVerify: config.Insecure,
				ClientSessionCache: tls.NewLRUClientSessionCache(0),
			},
			TLSHandshakeTimeout:   stall.ConnectTime,
			ResponseHeaderTimeout: uploadedTime,
			IdleConnTimeout:       idleConnTime,
			// 16 blobs at a time, and what retries and manifests need. There is no
			// limit to the connections in use: a copy within the registry needs
			// two, and would wait for itself.
			MaxIdleConns: 64, MaxIdleConnsPerHost: 32,
			ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
			// Blobs are what they are.
			DisableCompression: true,
			// A reader that waits must not hold up the others of its connection.
			Protocols: http1(),
		},
	}, nil
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// authorities returns the system's certificates and those in PEM, or nil for the
// former alone.
func authorities(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a container may have none
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &fault.Error{Code: CodeCABundle, What: "the certificates to trust for the registry hold none in PEM"}
	}
	return roots, nil
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// errPlain says that a request for plain HTTP is not sent.
var errPlain = errors.New("plain HTTP is not used for this registry")

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
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
	if err != nil && isNotTLS(err) && w.mayPlain {
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

func (w *wire) send(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		// A request is sent again when its token has expired. Nobody else takes
		// care that the body is whole.
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r = r.WithContext(r.Context())
		r.Body = body
	}
	limits := w.limits
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		limits.Head = 0
	}
	resp, err := limits.Do(r, w.pool.RoundTrip)
	if err == nil && resp.StatusCode >= 400 {
		w.throttle.note(resp)
		resp.Body = &firstOf{io.LimitReader(resp.Body, maxErrorSize), resp.Body}
	}
	return resp, err
}

// maxErrorSize is how much of an error document is read, in bytes. Proxies send
// whole web pages.
const maxErrorSize = 32 << 10

// firstOf is the beginning of a body.
type firstOf struct {
	io.Reader
	io.Closer
}
