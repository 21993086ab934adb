package endpoint

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"os"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Trust says whose certificates are accepted, besides those of the system's
// authorities.
type Trust struct {
	CACert         string   // certificates of authorities in PEM, "" for none
	CACertSource   string   // where CACert is from, for errors: "config key caCert"
	BundleVariable string   // environment variable with the path of a file of more certificates, such as AWS_CA_BUNDLE; "" for none
	Unverified     []string // hosts whose certificates are not verified, nor those of names below them
}

// Bundle returns the certificates besides the system's. It reads the file of the
// variable anew each time, as Kubernetes replaces it when it changes.
func (t Trust) Bundle() ([]byte, error) {
	bundle := []byte(t.CACert)
	if len(bundle) > 0 {
		if err := checkPEM(cmp.Or(t.CACertSource, "config key caCert"), bundle); err != nil {
			return nil, err
		}
	}
	if t.BundleVariable == "" {
		return bundle, nil
	}
	path := os.Getenv(t.BundleVariable)
	if path == "" {
		return bundle, nil
	}
	extra, err := os.ReadFile(path)
	if err != nil {
		return nil, &fault.Error{Code: CodeCABundle, What: "error reading the file of " + t.BundleVariable, Err: err}
	}
	if err := checkPEM("the file "+path+" of "+t.BundleVariable, extra); err != nil {
		return nil, err
	}
	return append(append(bundle, '\n'), extra...), nil
}

// checkPEM reports an error unless there is a certificate. It parses the first one
// only: a bundle of a system has more than a hundred, which take milliseconds, and a
// location with http:// needs none of them.
func checkPEM(name string, data []byte) error {
	if firstCertificate(data) != nil {
		return nil
	}
	return &fault.Error{Code: CodeCABundle, What: name + " holds no PEM certificate"}
}

// firstCertificate returns the first certificate of data in PEM, nil if there is none.
func firstCertificate(data []byte) []byte {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil
		}
		data = rest
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue // as x509.CertPool does
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			return pem.EncodeToMemory(block)
		}
	}
}
