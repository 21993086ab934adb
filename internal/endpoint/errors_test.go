package endpoint_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes are complete and each is listed once.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range endpoint.Codes {
		if !strings.HasPrefix(c.ID, "ENDPOINT_") || c.Meaning == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("code %+v", c)
		}
		seen[c.ID] = true
	}
}

// Each error of the network has a code, and a fix with the names of the settings.
func TestFault(t *testing.T) {
	settings := endpoint.Settings{
		Address: "theURL", CACert: "theBundle", Insecure: "set insecure", Advice: "the advice", Server: "look at the server", Busy: "wait",
	}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, c := range map[string]struct {
		err  error
		code fault.Code
		fix  string
	}{
		"no such name":   {dial(&net.DNSError{Err: "no such host", Name: "h"}), endpoint.CodeUnresolvable, "correct the host of theURL; the advice"},
		"refused":        {dial(syscall.ECONNREFUSED), endpoint.CodeRefused, "look at the server, and the host and port of theURL"},
		"no route":       {dial(syscall.EHOSTUNREACH), endpoint.CodeUnreachable, "look at the server, and check the network"},
		"reset":          {syscall.ECONNRESET, endpoint.CodeUnreachable, "check the network"},
		"stalled":        {fmt.Errorf("%w for 2m", endpoint.ErrStalled), endpoint.CodeUnreachable, "check the network"},
		"proxy":          {&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, endpoint.CodeProxy, "HTTPS_PROXY"},
		"proxy's login":  {errors.New("Proxy Authentication Required"), endpoint.CodeProxy, "HTTPS_PROXY"},
		"unknown issuer": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, endpoint.CodeUntrusted, "theBundle, or set insecure"},
		"expired":        {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, endpoint.CodeExpired, "renew"},
		"other name":     {&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}}, endpoint.CodeCertificate, "in theURL"},
		"HTTP for HTTPS": {errors.New("http: server gave HTTP response to HTTPS client"), endpoint.CodeNotTLS, "port of theURL, or set insecure"},
		"no TLS":         {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, endpoint.CodeNotTLS, "port of theURL"},
	} {
		t.Run(name, func(t *testing.T) {
			err := settings.Fault("error reading x", &url.Error{Op: "Get", URL: "https://h/path?signature=HIDE", Err: c.err})
			if !errors.Is(err, c.code) || !strings.HasPrefix(err.Error(), "error reading x: ") || strings.Contains(err.Error(), "HIDE") {
				t.Errorf("error: %v", err)
			}
			var f *fault.Error
			if !errors.As(err, &f) || !strings.Contains(f.Fix, c.fix) {
				t.Errorf("fix: %v", err)
			}
			if fix := (endpoint.Settings{}).Fix(c.code); fix != c.code.Fix {
				t.Errorf("without settings: %q", fix)
			}
		})
	}
	if err := settings.Fault("x", context.Canceled); !errors.Is(err, context.Canceled) || errors.As(err, new(*fault.Error)) {
		t.Errorf("cancelled: %v", err)
	}
	if err := settings.Fault("x", fmt.Errorf("words: %w", &fault.Error{Code: endpoint.CodeBusy})); !errors.Is(err, endpoint.CodeBusy) || strings.Contains(err.Error(), "words") {
		t.Errorf("explained already: %v", err)
	}
	closed := &url.Error{Op: "Put", URL: "https://h/path", Err: &net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}}
	if err := settings.Fault("x", closed); !strings.Contains(err.Error(), "the connection was broken by the server") || strings.Contains(err.Error(), "closed network connection") {
		t.Errorf("broken while the request was written: %v", err)
	}
}

// Plain HTTP to a port with TLS is told from a server that sends nonsense.
func TestPlainHTTPToTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	answers := map[string]string{"alert": "\x15\x03\x01\x00\x02\x02\x46", "nonsense": "hello\r\n\r\n"}
	names := make(chan string, len(answers))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write([]byte(answers[<-names]))
			_ = conn.Close()
		}
	}()
	transport, err := endpoint.NewTransport(endpoint.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	for name, code := range map[string]fault.Code{"alert": endpoint.CodeNotTLS, "nonsense": endpoint.CodeUnreachable} {
		names <- name
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+listener.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := transport.RoundTrip(request); err == nil || endpoint.Code(err).ID != code.ID {
			t.Errorf("%s: %v, %v", name, endpoint.Code(err).ID, err)
		}
	}
}

// A server that closes in mid-answer and one that is gone can be tried again; a
// certificate cannot.
func TestKindsOfErrors(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	transport, err := endpoint.NewTransport(endpoint.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = transport.Client().Do(request)
		return err
	}
	if err := get(); !endpoint.IsPermanent(err) || !endpoint.IsNetwork(err) || endpoint.IsDial(err) {
		t.Errorf("untrusted: %v", err)
	}
	server.Close()
	if err := get(); endpoint.IsPermanent(err) || !endpoint.IsNetwork(err) || !endpoint.IsDial(err) {
		t.Errorf("gone: %v", err)
	}
}
