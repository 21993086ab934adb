package recorder_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
)

func client(t *testing.T, r *recorder.Recorder) *http.Client {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.CAPEM) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestRequestsArePassedOnAndNoted(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Host+" "+string(body))
	}))
	defer target.Close()
	r, err := recorder.Start(target.URL, http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	response, err := client(t, r).Post(r.URL+"/a?b=c", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if want := strings.TrimPrefix(r.URL, "https://") + " body"; string(body) != want {
		t.Errorf("%q, want %q", body, want)
	}
	got := r.Requests()
	if len(got) != 1 || got[0].String() != "POST /a" || got[0].Query.Get("b") != "c" || got[0].Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%+v", got)
	}
	r.Forget()
	if got := r.Requests(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestListenNotesTheBody(t *testing.T) {
	r := recorder.Listen()
	defer r.Close()
	response, err := client(t, r).Post(r.URL+"/", "text/plain", strings.NewReader("token"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := r.Requests(); response.StatusCode != http.StatusForbidden || len(got) != 1 || got[0].Body != "token" {
		t.Errorf("%s: %+v", response.Status, got)
	}
}
