package endpoint_test

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// Idle connections end with Close, whatever the kind of their server.
func TestClientsClose(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			var open sync.WaitGroup
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed:
					open.Done()
				}
			}
			start(server)
			defer server.Close()

			trust := endpoint.Trust{}
			if c := server.Certificate(); c != nil {
				trust.CACert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
			}
			var transports endpoint.Transports
			transport, err := transports.For(trust)
			if err != nil {
				t.Fatal(err)
			}
			client := transport.Client()
			for range 2 {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
			}
			transports.Close()
			closed := make(chan struct{})
			go func() {
				open.Wait()
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Error("a connection is open")
			}
		})
	}
}

// A certificate is left unverified for the named hosts only, also where one of
// them redirects, and for a copy that an SDK makes not at all.
func TestUnverifiedHosts(t *testing.T) {
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that clients give up
	other.StartTLS()
	defer other.Close()
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	server := httptest.NewUnstartedServer(http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	transport, err := endpoint.NewTransport(endpoint.Trust{Unverified: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	sdks := http.DefaultTransport.(*http.Transport).Clone()
	transport.Verifying(sdks)
	defer sdks.CloseIdleConnections()

	status := func(rt http.RoundTripper, follow bool, target string) (int, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: rt}
		if !follow {
			client = transport.Client()
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		response.Body.Close()
		return response.StatusCode, nil
	}
	if code, err := status(transport, false, server.URL); code != http.StatusTemporaryRedirect || err != nil {
		t.Errorf("named host: %d, %v", code, err)
	}
	if code, err := status(transport, false, elsewhere); err == nil || endpoint.Code(err).ID != endpoint.CodeCertificate.ID {
		t.Errorf("another host: %d, %v", code, err)
	}
	if code, err := status(transport, true, server.URL); err == nil || endpoint.Code(err).ID != endpoint.CodeCertificate.ID {
		t.Errorf("redirection to another host: %d, %v", code, err)
	}
	if code, err := status(sdks, true, server.URL); err == nil || endpoint.Code(err).ID != endpoint.CodeUntrusted.ID {
		t.Errorf("transport of an SDK: %d, %v", code, err)
	}
}

// Names below a named host are unverified too, as those of buckets are.
func TestUnverifiedNames(t *testing.T) {
	for host, want := range map[string]bool{
		"s3.example.com": true, "bucket.s3.example.com": true, "S3.Example.Com.": true, "10.0.0.1": true,
		"example.com": false, "as3.example.com": false, "s3.example.com.evil.org": false, "110.0.0.1": false, "": false,
	} {
		if got := endpoint.IsAmong(host, []string{"s3.EXAMPLE.com", "10.0.0.1"}); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// Requests obey HTTPS_PROXY and NO_PROXY; those for credentials of the machine
// never leave it.
func TestProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.test:3128")
	t.Setenv("HTTP_PROXY", "http://proxy.test:3128")
	t.Setenv("NO_PROXY", ".svc")
	transport, err := endpoint.NewTransport(endpoint.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	tr := new(http.Transport)
	transport.Verifying(tr)
	for target, want := range map[string]string{
		"https://registry.test/v2/":                                      "http://proxy.test:3128",
		"https://image-registry.openshift-image-registry.svc:5000/v2/":   "",
		"http://169.254.169.254/latest/api/token":                        "",
		"http://[fd00:ec2::23]/v1/credentials":                           "",
		"http://169.254.169.254.example.com/is-not-the-metadata-service": "http://proxy.test:3128",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := tr.Proxy(r)
		if err != nil || (proxy == nil) != (want == "") || proxy != nil && proxy.String() != want {
			t.Errorf("%s through %v, %v", target, proxy, err)
		}
	}
}
