package endpoint

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Probe makes the first steps of every check of a location: the name, the
// connection, TLS and the proxy of a server.
type Probe struct {
	Trust    Trust
	Settings Settings
}

// Resolve looks up the host that requests for u connect to, which may be a
// proxy, and says in words what it found.
func (p Probe) Resolve(ctx context.Context, u *url.URL) (found string, err error) {
	name, via := u.Hostname(), ""
	proxy, err := proxyFromEnvironment()(&http.Request{URL: u})
	if err != nil {
		return "", &fault.Error{Code: CodeProxy, What: "error reading the proxy variables of the environment", Err: err}
	}
	if proxy != nil {
		name, via = proxy.Hostname(), " (the proxy for "+u.Host+")"
	}
	if net.ParseIP(name) != nil {
		return name + via + " is an address", nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "", p.Settings.Fault("error resolving "+name+via, err)
	}
	return fmt.Sprintf("%s%s is %s", name, via, strings.Join(addresses, ", ")), nil
}

// Connect connects to the server of u and says in words what certificate it has.
// Any answer of the server will do.
func (p Probe) Connect(ctx context.Context, u *url.URL) (found string, err error) {
	transport, err := NewTransport(p.Trust)
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*ConnectTime)
	defer cancel()
	root := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", p.Settings.Fault("error connecting to "+u.Scheme+"://"+u.Host, err)
	}
	response.Body.Close()
	if response.TLS == nil {
		return u.Host + " answers over plain HTTP, without encryption", nil
	}
	certificate := response.TLS.PeerCertificates[0]
	verified := "verified"
	if isAmong(u.Hostname(), p.Trust.Unverified) {
		verified = "not verified, because of " + p.Settings.Skip
	}
	return fmt.Sprintf("%s answers, certificate of %q issued by %q valid until %s, %s", u.Host, certificate.Subject,
		certificate.Issuer, certificate.NotAfter.Format(time.DateOnly), verified), nil
}

// Target finds the URL that requests go to, and how it is reached, for the first
// steps of a check.
type Target func(context.Context) (Probe, *url.URL, error)

// Resolve looks up the host, as Probe.Resolve does.
func (find Target) Resolve(ctx context.Context) (found string, err error) {
	p, u, err := find(ctx)
	if err != nil {
		return "", err
	}
	return p.Resolve(ctx, u)
}

// Connect connects to the host, as Probe.Connect does.
func (find Target) Connect(ctx context.Context) (found string, err error) {
	p, u, err := find(ctx)
	if err != nil {
		return "", err
	}
	return p.Connect(ctx, u)
}
