package endpoint

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package. An error of a service has a fix that names
// the service's own configuration keys; see [Settings].
var (
	CodeCABundle = fault.Code{
		ID:      "ENDPOINT_CA_BUNDLE_INVALID",
		Meaning: "The certificates of authorities to trust cannot be read.",
		Fix:     "give PEM certificates (-----BEGIN CERTIFICATE-----)",
	}
	CodeUnresolvable = fault.Code{
		ID:      "ENDPOINT_UNRESOLVABLE",
		Meaning: "The name of the server cannot be resolved.",
		Fix:     "correct the host in the address of the service",
	}
	CodeRefused = fault.Code{
		ID:      "ENDPOINT_REFUSED",
		Meaning: "Nothing listens at the server's address.",
		Fix:     "check that the server runs, and the host and port in the address of the service",
	}
	CodeUnreachable = fault.Code{
		ID:      "ENDPOINT_UNREACHABLE",
		Meaning: "The server cannot be reached, the connection broke, or it stood still.",
		Fix:     "check the network between Velero's pod and the server, network policies and firewalls included",
	}
	CodeProxy = fault.Code{
		ID:      "ENDPOINT_PROXY_FAILED",
		Meaning: "The HTTP proxy cannot be reached or refuses the connection.",
		Fix:     "correct HTTPS_PROXY, or add the server to NO_PROXY",
	}
	CodeUntrusted = fault.Code{
		ID:      "ENDPOINT_CERTIFICATE_UNTRUSTED",
		Meaning: "The server's certificate is not signed by an authority that is trusted here.",
		Fix:     "add the certificate of the authority to those that are trusted for the service",
	}
	CodeExpired = fault.Code{
		ID:      "ENDPOINT_CERTIFICATE_EXPIRED",
		Meaning: "The server's certificate has expired or is not valid yet.",
		Fix:     "renew the certificate of the server, and check the clock of the node that Velero runs on",
	}
	CodeCertificate = fault.Code{
		ID:      "ENDPOINT_CERTIFICATE_INVALID",
		Meaning: "The server's certificate is for another name, or must not be used by a server.",
		Fix:     "use a name of the server that its certificate is valid for, or replace the certificate",
	}
	CodeNotTLS = fault.Code{
		ID:      "ENDPOINT_NOT_TLS",
		Meaning: "The server does not speak TLS on this port, or speaks it where plain HTTP is expected.",
		Fix:     "correct the scheme (http or https) or the port in the address of the service",
	}
	CodeClock = fault.Code{
		ID:      "ENDPOINT_CLOCK_SKEW",
		Meaning: "The clocks of this machine and of the server differ too much.",
		Fix:     "synchronize the clock of the node that Velero runs on",
	}
	CodeBusy = fault.Code{
		ID:      "ENDPOINT_BUSY",
		Meaning: "The server failed or asked to slow down, also after several attempts.",
		Fix:     "look at the load and the log of the server, and try again later",
	}
	CodeRedirect = fault.Code{
		ID:      "ENDPOINT_REDIRECTED",
		Meaning: "A service that hands out credentials redirects to another server. The redirection is not followed, as the other server would receive the credentials of the request.",
		Fix:     "give the address that the service itself has, and look at what is between Velero's pod and the service",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeCABundle, CodeUnresolvable, CodeRefused, CodeUnreachable, CodeProxy, CodeUntrusted, CodeExpired, CodeCertificate,
	CodeNotTLS, CodeClock, CodeBusy, CodeRedirect,
}

// Settings are the names of a service's configuration, which the fixes of its
// errors speak of.
type Settings struct {
	Address  string // what holds the address: "s3Url or region"
	CACert   string // what holds the certificates to trust: "objectStorage.caCert of the location"
	Insecure string // how to do without a certificate that is trusted: `set OADP_REGISTRY_INSECURE to "true"`; "" if errors should not say that
	Skip     string // what turns the verification of certificates off: "insecureSkipTLSVerify"
	Advice   string // another fix for a name that cannot be resolved; "" for none
	Server   string // how to see whether the server runs: "check that the registry runs (oc get ...)"; "" for no special way
	Busy     string // the fix for CodeBusy; "" for the general one
}

// Fault explains why there is no answer of the service.
func (s Settings) Fault(what string, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, known) // without the words of HTTP around it
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, context.Canceled) // no fault of the network
	}
	code := Code(err)
	return &fault.Error{Code: code, What: what, Fix: s.Fix(code), Err: Plain(err)}
}

// Fix returns the fix for a code of this package, with the names of the service's
// settings.
func (s Settings) Fix(code fault.Code) string {
	var fix string
	switch code.ID {
	case CodeUnresolvable.ID:
		fix = s.correct("correct the host of ", "")
		if fix != "" && s.Advice != "" {
			fix += "; " + s.Advice
		}
	case CodeRefused.ID:
		fix = cmp.Or(s.Server, "check that the server runs") + s.correct(", and the host and port of ", "")
		if s.Address == "" && s.Server == "" {
			fix = ""
		}
	case CodeUnreachable.ID:
		fix = "check the network between Velero's pod and the server, network policies and firewalls included"
		if s.Server != "" {
			fix = s.Server + ", and " + fix
		}
	case CodeUntrusted.ID:
		if s.CACert != "" {
			fix = "put the certificate of the authority into " + s.CACert + s.insecure()
		}
	case CodeCertificate.ID:
		fix = s.correct("use a name that the certificate is valid for in ", ", or replace the certificate")
	case CodeNotTLS.ID:
		fix = s.correct("correct the scheme or the port of ", s.insecure())
	case CodeBusy.ID:
		fix = s.Busy
	}
	return cmp.Or(fix, code.Fix)
}

func (s Settings) correct(before, after string) string {
	if s.Address == "" {
		return ""
	}
	return before + s.Address + after
}

func (s Settings) insecure() string {
	if s.Insecure == "" {
		return ""
	}
	return ", or " + s.Insecure + " if nobody can come between Velero and the server"
}

// Code returns the code of an error on the way to a server. It is CodeUnreachable
// for an error that says nothing more precise.
func Code(err error) fault.Code {
	var (
		unknownAuthority x509.UnknownAuthorityError
		invalid          x509.CertificateInvalidError
		hostname         x509.HostnameError
		verification     *tls.CertificateVerificationError
		dns              *net.DNSError
		op               *net.OpError
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect", strings.Contains(err.Error(), "Proxy Authentication Required"):
		return CodeProxy
	case errors.As(err, &unknownAuthority):
		return CodeUntrusted
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CodeExpired
	case errors.As(err, &invalid), errors.As(err, &hostname), errors.As(err, &verification):
		return CodeCertificate
	case IsNotTLS(err):
		return CodeNotTLS
	case errors.As(err, &dns):
		return CodeUnresolvable
	case errors.Is(err, syscall.ECONNREFUSED):
		return CodeRefused
	}
	return CodeUnreachable
}

// IsNotTLS reports whether only one of client and server spoke TLS.
func IsNotTLS(err error) bool {
	const tlsAlert = `malformed HTTP response "\x15\x03` // the answer of a TLS server to plain HTTP
	var record tls.RecordHeaderError
	return errors.As(err, &record) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") || strings.Contains(err.Error(), tlsAlert)
}

// plainError is an error with another text.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// WithText returns err with another text.
func WithText(text string, err error) error { return &plainError{text, err} }

// Plain returns an error of the network with a short text, in which no URL has a
// query or a path: those of stores carry signatures and state.
func Plain(err error) error {
	var request *url.Error
	if !errors.As(err, &request) {
		return err
	}
	text := request.Err.Error()
	if errors.Is(err, net.ErrClosed) {
		// net/http says "use of closed network connection" of a request that was
		// still being written when the other side ended the connection.
		text = "the connection was broken by the server or something in front of it"
	}
	return WithText(text+" ("+request.Op+" "+Origin(request.URL)+")", err)
}

// Origin returns scheme and host of a URL: "https://example.com:9000".
func Origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an invalid URL"
	}
	return u.Scheme + "://" + u.Host
}
