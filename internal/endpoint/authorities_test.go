package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// The system's certificates are looked at only for a server that the location's
// own do not vouch for, and then at once.
func TestAuthorities(t *testing.T) {
	var handshakes atomic.Int32
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			handshakes.Add(1)
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that clients give up
	server.StartTLS()
	defer server.Close()
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	nobody := x509.NewCertPool()

	for name, c := range map[string]struct {
		own, system *x509.CertPool
		host        string // "" for the server's address
		connects    bool
		handshakes  int32 // of two connections
		asked       bool  // for the system's certificates
	}{
		"own":                  {known, nobody, "", true, 2, false},
		"system":               {nobody, known, "", true, 3, true},
		"neither":              {nobody, nobody, "", false, 3, true},
		"under a foreign name": {known, known, "localhost", false, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			a := &authorities{own: func() *x509.CertPool { return c.own }, hasOwn: true, all: func() *x509.CertPool { asked = true; return c.system }}
			address := strings.TrimPrefix(server.URL, "https://")
			if c.host != "" {
				_, port, _ := net.SplitHostPort(address)
				address = net.JoinHostPort(c.host, port)
			}
			handshakes.Store(0)
			for range 2 {
				conn, err := a.dialer(&tls.Config{MinVersion: tls.VersionTLS12}, nil)(t.Context(), "tcp", address)
				if err == nil {
					conn.Close()
				}
				var unverified *tls.CertificateVerificationError
				if (err == nil) != c.connects || err != nil && !errors.As(err, &unverified) {
					t.Errorf("error: %v", err)
				}
			}
			if got := handshakes.Load(); got != c.handshakes || asked != c.asked {
				t.Errorf("%d connections, want %d; system asked: %v", got, c.handshakes, asked)
			}
		})
	}
}

// Connections through a proxy know the location's certificates too.
func TestAuthoritiesThroughProxy(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied++
		there, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "https://"))
		if r.Method != http.MethodConnect || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = here.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		go func() { _, _ = there.(*net.TCPConn).ReadFrom(here) }()
		go func() { _, _ = here.(*net.TCPConn).ReadFrom(there) }()
	}))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	u, err := url.Parse("https://example.com") // a name in the server's certificate
	if err != nil {
		t.Fatal(err)
	}
	if found, err := (Probe{Trust: Trust{CACert: ca}}).Connect(t.Context(), u); err != nil || proxied != 1 || !strings.Contains(found, "verified") {
		t.Errorf("%q, %v; %d connections through the proxy", found, err, proxied)
	}
}
