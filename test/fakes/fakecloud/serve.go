package fakecloud

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Serve serves a handler, such as the one of a cloud's EC2, over plain HTTP until
// the test ends, and returns its URL.
func Serve(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(h)
	closeAtEnd(t, server)
	return server.URL
}

// ServeTLS serves a handler over TLS until the test ends. It returns its URL and
// the certificate to trust.
func ServeTLS(t testing.TB, h http.Handler) (url string, caPEM []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	closeAtEnd(t, server)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func closeAtEnd(t testing.TB, server *httptest.Server) {
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
}
