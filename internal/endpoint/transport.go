package endpoint

import (
	"crypto/sha256"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Time limits of a connection. There is none for a whole request: a part of
// 5 GiB over a slow line is legitimate, one that stands still is not.
const (
	headerTime   = 5 * time.Minute // servers assemble large objects before they answer
	idleConnTime = 90 * time.Second
)

// Transports keeps one [Transport] for each [Trust], so that a new configuration
// of a location goes on with the connections of the last one. The zero value is
// ready to use, also by several goroutines.
type Transports struct {
	mu      sync.Mutex
	byTrust map[trustKey]*Transport

	connections connections
}

// trustKey identifies what a location trusts.
type trustKey struct {
	bundle     [sha256.Size]byte
	unverified string
}

// For returns the transport of a location.
func (ts *Transports) For(trust Trust) (*Transport, error) {
	bundle, err := trust.Bundle()
	if err != nil {
		return nil, err
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := trustKey{sha256.Sum256(bundle), strings.Join(trust.Unverified, " ")}
	if t, ok := ts.byTrust[key]; ok {
		return t, nil
	}
	t := newTransport(bundle, trust.Unverified, &ts.connections)
	if ts.byTrust == nil {
		ts.byTrust = map[trustKey]*Transport{}
	}
	ts.byTrust[key] = t
	return t, nil
}

// Close closes all connections, also those in use.
func (ts *Transports) Close() { ts.connections.close() }

// Transport is an [http.RoundTripper] that fails an answer whose body stands
// still, and that verifies certificates except for the hosts that its [Trust]
// names.
type Transport struct {
	// AnswerTime is how long the head of an answer to a GET or HEAD request may
	// take. 0 is the limit for all requests, of 5 minutes. It must be set before
	// the first request.
	AnswerTime time.Duration
	// BodyTime is how long the body of an answer may stand still; [StallTime] unless
	// it is set before the first request.
	BodyTime time.Duration

	unverified []string
	authority  []byte // one of the bundle's certificates, in PEM
	verifying  *http.Transport
	trusting   *http.Transport // for the unverified hosts; nil without them
}

// NewTransport returns a transport that shares its connections with nobody.
func NewTransport(trust Trust) (*Transport, error) {
	bundle, err := trust.Bundle()
	if err != nil {
		return nil, err
	}
	return newTransport(bundle, trust.Unverified, nil), nil
}

func newTransport(bundle []byte, unverified []string, among *connections) *Transport {
	t := &Transport{
		unverified: unverified,
		authority:  firstCertificate(bundle),
		verifying:  newHTTPTransport(bundle, nil, among),
		BodyTime:   StallTime,
	}
	if len(unverified) > 0 {
		t.trusting = newHTTPTransport(bundle, unverified, among)
	}
	return t
}

// newHTTPTransport returns a transport for requests to the unverified hosts, or to
// all others if there are none of them.
func newHTTPTransport(bundle []byte, unverified []string, among *connections) *http.Transport {
	tr := &http.Transport{
		Proxy:       proxyFromEnvironment(),
		DialContext: Dial,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: len(unverified) > 0, // behind a proxy; the dialer below sees to the others
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		TLSHandshakeTimeout:   ConnectTime,
		ResponseHeaderTimeout: headerTime,
		IdleConnTimeout:       idleConnTime,
		// Up to 32 parts at a time, twice that for what a retry leaves behind. The
		// connections in use have no limit: a copy within a registry needs two, and
		// would wait for itself.
		MaxIdleConns: 128, MaxIdleConnsPerHost: 64,
		// Large reads go past the buffer; larger ones would only cost memory.
		ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
		// Objects and blobs are stored byte by byte, never decoded on the way.
		DisableCompression: true,
		// One connection carries one request: servers and middleboxes limit the
		// rate of a connection, so that streams of HTTP/2 would share one limit.
		Protocols: new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(true)
	if len(bundle) > 0 || len(unverified) > 0 {
		a := newAuthorities(bundle)
		tr.DialTLSContext = a.dialer(tr.TLSClientConfig.Clone(), unverified)
		if httpproxy.FromEnvironment().HTTPSProxy != "" {
			tr.TLSClientConfig.RootCAs = a.all() // for connections through the proxy
		}
	}
	if among != nil {
		among.track(tr)
	}
	return tr
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	limits := Limits{Body: t.BodyTime}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		limits.Head = t.AnswerTime
	}
	return limits.Do(r, t.transportFor(r.URL).RoundTrip)
}

func (t *Transport) transportFor(u *url.URL) *http.Transport {
	if t.trusting != nil && isAmong(u.Hostname(), t.unverified) {
		return t.trusting
	}
	return t.verifying
}

// Client returns a client that sends each request to the host that it names and
// follows no redirection: a server must not choose where credentials and data go.
func (t *Transport) Client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// OneAuthority returns the first certificate of the [Trust] in PEM, nil if it has
// none besides the system's.
func (t *Transport) OneAuthority() []byte { return t.authority }

// RefuseRedirect returns an error that names both servers of a redirection. It has
// the form of http.Client.CheckRedirect.
func RefuseRedirect(to *http.Request, _ []*http.Request) error {
	from := "the service"
	if to.Response != nil && to.Response.Request != nil {
		from = Origin(to.Response.Request.URL.String())
	}
	return &fault.Error{Code: CodeRedirect, What: from + " redirects to " + Origin(to.URL.String())}
}

// Verifying configures a transport of somebody else's as those of t are that
// verify every certificate, and lets it refuse redirections. Its connections end
// with those of t.
func (t *Transport) Verifying(tr *http.Transport) {
	own := t.verifying
	// The client of the AWS SDK follows redirections with the whole request. It takes
	// no function to forbid that, but asks for the proxy of each request.
	tr.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.Response != nil {
			return nil, RefuseRedirect(r, nil)
		}
		return own.Proxy(r)
	}
	tr.DialContext, tr.DialTLSContext = own.DialContext, own.DialTLSContext
	tr.TLSClientConfig = own.TLSClientConfig.Clone()
	tr.TLSHandshakeTimeout, tr.ResponseHeaderTimeout, tr.IdleConnTimeout = own.TLSHandshakeTimeout, own.ResponseHeaderTimeout, own.IdleConnTimeout
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost = own.MaxIdleConns, own.MaxIdleConnsPerHost
	tr.ReadBufferSize, tr.WriteBufferSize = own.ReadBufferSize, own.WriteBufferSize
	tr.DisableCompression, tr.ForceAttemptHTTP2, tr.Protocols = own.DisableCompression, false, own.Protocols
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.verifying.CloseIdleConnections()
	if t.trusting != nil {
		t.trusting.CloseIdleConnections()
	}
}

// isAmong reports whether host is one of hosts or a name below one of them, as
// bucket.s3.example.com is below s3.example.com.
func isAmong(host string, hosts []string) bool {
	host = normalized(host)
	for _, h := range hosts {
		h = normalized(h)
		if host == h || strings.HasSuffix(host, "."+h) {
			return true
		}
	}
	return false
}

// normalized returns a host name without what makes no difference.
func normalized(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// proxyFromEnvironment leaves out the link-local addresses at which clouds serve
// the credentials of a machine or pod.
func proxyFromEnvironment() func(*http.Request) (*url.URL, error) {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && (a.IsLinkLocalUnicast() || metadataIPv6.Contains(a)) {
			return nil, nil
		}
		return proxy(r.URL)
	}
}

// metadataIPv6 holds the IPv6 addresses of AWS' metadata and pod identity
// services.
var metadataIPv6 = netip.MustParsePrefix("fd00:ec2::/32")
