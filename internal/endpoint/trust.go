package endpoint

import (
	"cmp"
	"crypto/x509"
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
	pem := []byte(t.CACert)
	if len(pem) > 0 {
		if err := checkPEM(cmp.Or(t.CACertSource, "config key caCert"), pem); err != nil {
			return nil, err
		}
	}
	if t.BundleVariable == "" {
		return pem, nil
	}
	path := os.Getenv(t.BundleVariable)
	if path == "" {
		return pem, nil
	}
	extra, err := os.ReadFile(path)
	if err != nil {
		return nil, &fault.Error{Code: CodeCABundle, What: "error reading the file of " + t.BundleVariable, Err: err}
	}
	if err := checkPEM("the file "+path+" of "+t.BundleVariable, extra); err != nil {
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
