package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// authorities are the certificates of a location and the system's. They are parsed
// when a connection needs them, not before: the system has more than a hundred. Most
// processes of a plugin live for a second, and connect over http:// or to a server whose
// certificate the location's own authorities have signed; they need none of the system's.
type authorities struct {
	own    func() *x509.CertPool
	hasOwn bool
	all    func() *x509.CertPool

	ownFailed atomic.Bool
}

func newAuthorities(pem []byte) *authorities {
	return &authorities{
		own: sync.OnceValue(func() *x509.CertPool {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			return pool
		}),
		hasOwn: len(pem) > 0,
		all: sync.OnceValue(func() *x509.CertPool {
			pool, err := x509.SystemCertPool()
			if err != nil {
				// A container may have no certificates of its own.
				pool = x509.NewCertPool()
			}
			pool.AppendCertsFromPEM(pem)
			return pool
		}),
	}
}

// dialer returns a function for http.Transport.DialTLSContext. It does not verify
// the unverified hosts. For the others it connects anew with all authorities when
// a server is not known to the location's own.
func (a *authorities) dialer(config *tls.Config, unverified []string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config := config.Clone()
		config.ServerName = host
		if config.InsecureSkipVerify = isAmong(host, unverified); config.InsecureSkipVerify {
			return dialTLS(ctx, network, address, config)
		}
		if a.hasOwn && !a.ownFailed.Load() {
			config.RootCAs = a.own()
			conn, err := dialTLS(ctx, network, address, config)
			var unverified *tls.CertificateVerificationError
			if !errors.As(err, &unverified) {
				return conn, err
			}
			a.ownFailed.Store(true)
		}
		config.RootCAs = a.all()
		return dialTLS(ctx, network, address, config)
	}
}

func dialTLS(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	raw, err := Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, ConnectTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}
