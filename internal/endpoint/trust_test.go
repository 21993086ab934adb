package endpoint_test

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// A bundle has to have a certificate that x509.CertPool takes.
func TestBundle(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	withHeaders := certificate
	withHeaders.Headers = map[string]string{"Name": "an authority"}
	key := pem.Block{Type: "PRIVATE KEY", Bytes: []byte("no certificate")}
	damaged := pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")}
	text := func(blocks ...pem.Block) (bundle string) {
		for _, block := range blocks {
			bundle += "# a comment\n" + string(pem.EncodeToMemory(&block))
		}
		return bundle
	}
	for name, c := range map[string]struct {
		bundle string
		valid  bool
	}{
		"certificate":              {text(certificate), true},
		"certificate after others": {text(key, damaged, withHeaders, certificate), true},
		"no PEM":                   {"no certificate", false},
		"key":                      {text(key), false},
		"damaged certificate":      {text(damaged), false},
		"certificate with headers": {text(withHeaders), false},
	} {
		bundle, err := endpoint.Trust{CACert: c.bundle}.Bundle()
		switch {
		case c.valid && (err != nil || string(bundle) != c.bundle):
			t.Errorf("%s: %v", name, err)
		case !c.valid && !errors.Is(err, endpoint.CodeCABundle):
			t.Errorf("%s is accepted: %v", name, err)
		}
	}
}
