package awsaccess

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"golang.org/x/net/http/httpproxy"

	"github.com/oadp-plugins/oadp-plugins/internal/stall"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Time limits of the connection to a service. There is none for a whole request:
// a part of 5 GiB over a slow line is legitimate, one that stands still is not.
const (
	headerTime   = 5 * time.Minute // servers assemble large objects before they answer
	idleConnTime = 90 * time.Second
)

// Trust says which certificates a location trusts.
type Trust struct {
	CACert     string // PEM, besides the system's and those of AWS_CA_BUNDLE
	SkipVerify bool
}

// Bundle returns the certificates besides the system's.
func (t Trust) Bundle() ([]byte, error) {
	pem := []byte(t.CACert)
	if err := checkPEM("config key caCert", pem); len(pem) > 0 && err != nil {
		return nil, err
	}
	path := os.Getenv("AWS_CA_BUNDLE")
	if path == "" {
		return pem, nil
	}
	extra, err := os.ReadFile(path)
	if err != nil {
		return nil, &fault.Error{Code: CodeCABundle, What: "error reading the file of AWS_CA_BUNDLE", Err: err}
	}
	if err := checkPEM("the file "+path+" of AWS_CA_BUNDLE", extra); err != nil {
		return nil, err
	}
	return append(append(pem, '\n'), extra...), nil
}

func checkPEM(name string, pem []byte) error {
	if x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil
	}
	return &fault.Error{Code: CodeCABundle, What: name + " holds no PEM certificate"}
}

// HTTPClient returns a client for AWS services and stores that speak their
// protocols. It obeys the proxy variables of the environment.
func (t Trust) HTTPClient() (*awshttp.BuildableClient, error) {
	pem, err := t.Bundle()
	if err != nil {
		return nil, err
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.Proxy = proxyFromEnvironment()
		tr.DialContext = stall.Dial
		tr.TLSClientConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: t.SkipVerify,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
		tr.TLSHandshakeTimeout = stall.ConnectTime
		if len(pem) > 0 && !t.SkipVerify {
			a := newAuthorities(pem)
			if tr.DialTLSContext = a.dialer(tr.TLSClientConfig); httpproxy.FromEnvironment().HTTPSProxy != "" {
				tr.TLSClientConfig.RootCAs = a.all() // for connections through the proxy
			}
		}
		tr.ResponseHeaderTimeout = headerTime
		tr.IdleConnTimeout = idleConnTime
		// Up to 32 parts at a time, twice that for what a retry leaves behind.
		tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 128, 64
		// Large reads go past the buffer; larger ones would only cost memory.
		tr.ReadBufferSize, tr.WriteBufferSize = 32<<10, 32<<10
		// One connection carries one request: servers and middleboxes limit the
		// rate of a connection, so that streams of HTTP/2 would share one limit.
		tr.ForceAttemptHTTP2 = false
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}), nil
}

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
