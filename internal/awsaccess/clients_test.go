package awsaccess_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
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

			trust := awsaccess.Trust{}
			if c := server.Certificate(); c != nil {
				trust.CACert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
			}
			var clients awsaccess.Clients
			client, err := clients.For(trust)
			if err != nil {
				t.Fatal(err)
			}
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
			clients.Close()
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
