package awsaccess

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeCABundle = fault.Code{
		ID:      "AWS_CA_BUNDLE_INVALID",
		Meaning: "The certificates to trust cannot be read.",
		Fix:     "give PEM certificates (-----BEGIN CERTIFICATE-----) in caCert and in the file of AWS_CA_BUNDLE",
	}
	CodeCredentialsFile = fault.Code{
		ID:      "AWS_CREDENTIALS_FILE_INVALID",
		Meaning: "The credentials file cannot be read, or lacks the profile.",
		Fix:     "give a credentials file in INI form with the profile, and name the profile in the key profile if it is not default",
	}
	CodeNoCredentials = fault.Code{
		ID:      "AWS_NO_CREDENTIALS",
		Meaning: "No credentials could be obtained.",
		Fix:     "set spec.credential of the location, or give the pod a web identity or a role; see the cause for the source that was tried",
	}
	CodeRoleRefused = fault.Code{
		ID:      "AWS_ROLE_REFUSED",
		Meaning: "The role exists no more, or its trust policy does not let this identity assume it.",
		Fix: "correct role_arn, or let the trust policy of the role allow sts:AssumeRoleWithWebIdentity for the service account of Velero " +
			"(sub) and the audience of its token (aud), or sts:AssumeRole for the keys that are used",
	}
	CodeWebIdentity = fault.Code{
		ID:      "AWS_WEB_IDENTITY_REFUSED",
		Meaning: "The web identity token has expired, or its issuer is not known to the account.",
		Fix:     "check that web_identity_token_file is the projected token of the pod, which is renewed there, and that the account has the issuer of the cluster as an identity provider",
	}
	CodeUnknownAccessKey = fault.Code{
		ID:      "AWS_UNKNOWN_ACCESS_KEY",
		Meaning: "The server does not know the access key.",
		Fix:     "correct aws_access_key_id in the credentials, and check that they belong to this server",
	}
	CodeWrongSecretKey = fault.Code{
		ID:      "AWS_SIGNATURE_MISMATCH",
		Meaning: "The signature of the request is wrong.",
		Fix:     "correct aws_secret_access_key in the credentials; if it is right, look for a proxy that changes requests",
	}
	CodeExpiredToken = fault.Code{
		ID:      "AWS_EXPIRED_TOKEN",
		Meaning: "The session token has expired or is not valid.",
		Fix:     "renew the credentials; keys of a role need one that renews itself, such as a web identity",
	}
	CodeClockSkew = fault.Code{
		ID:      "AWS_CLOCK_SKEW",
		Meaning: "The clocks of this machine and of the server differ too much.",
		Fix:     "synchronize the clock of the node that Velero runs on",
	}
	CodeDNS = fault.Code{
		ID:      "AWS_UNKNOWN_HOST",
		Meaning: "The name of the server cannot be resolved.",
		Fix:     "correct s3Url, ec2Url or region; for an object store that has no name for each bucket set s3ForcePathStyle to \"true\"",
	}
	CodeRefused = fault.Code{
		ID:      "AWS_CONNECTION_REFUSED",
		Meaning: "Nothing answers at the server's address.",
		Fix:     "check that the server runs, and the host and port of s3Url or ec2Url",
	}
	CodeProxy = fault.Code{
		ID:      "AWS_PROXY_FAILED",
		Meaning: "The HTTP proxy cannot be reached or refuses the connection.",
		Fix:     "correct HTTPS_PROXY, or add the server to NO_PROXY",
	}
	CodeUntrusted = fault.Code{
		ID:      "AWS_CERTIFICATE_UNTRUSTED",
		Meaning: "The server's certificate is not signed by an authority that is trusted here.",
		Fix:     "put the certificate of the authority into objectStorage.caCert of a backup location, or into the config key caCert of a snapshot location",
	}
	CodeCertificate = fault.Code{
		ID:      "AWS_CERTIFICATE_INVALID",
		Meaning: "The server's certificate has expired or is for another name.",
		Fix:     "renew the certificate, or use a name in s3Url or ec2Url that it is valid for",
	}
	CodeNotTLS = fault.Code{
		ID:      "AWS_NOT_TLS",
		Meaning: "The server does not speak TLS on this port, or speaks it where plain HTTP is expected.",
		Fix:     "correct the scheme or the port of s3Url or ec2Url",
	}
	CodeUnreachable = fault.Code{
		ID:      "AWS_UNREACHABLE",
		Meaning: "The server cannot be reached, or the connection broke.",
		Fix:     "check the network between Velero's pod and the server, network policies and firewalls included",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeCABundle, CodeCredentialsFile, CodeNoCredentials, CodeRoleRefused, CodeWebIdentity, CodeUnknownAccessKey,
	CodeWrongSecretKey, CodeExpiredToken, CodeClockSkew, CodeDNS, CodeRefused, CodeProxy, CodeUntrusted,
	CodeCertificate, CodeNotTLS, CodeUnreachable,
}

// apiCodes maps what services answer to a request with credentials that they do
// not take.
var apiCodes = map[string]fault.Code{
	"InvalidAccessKeyId":    CodeUnknownAccessKey,
	"InvalidClientTokenId":  CodeUnknownAccessKey,
	"UnrecognizedClient":    CodeUnknownAccessKey,
	"SignatureDoesNotMatch": CodeWrongSecretKey,
	"ExpiredToken":          CodeExpiredToken,
	"ExpiredTokenException": CodeExpiredToken,
	"RequestExpired":        CodeExpiredToken,
	"InvalidToken":          CodeExpiredToken,
	"InvalidTokenId":        CodeExpiredToken,
	"InvalidSecurity":       CodeExpiredToken,
	"TokenRefreshRequired":  CodeExpiredToken,
	"RequestTimeTooSkewed":  CodeClockSkew,
	"RequestInTheFuture":    CodeClockSkew,
	"InvalidIdentityToken":  CodeWebIdentity,
	"IDPRejectedClaim":      CodeWebIdentity,
	"IDPCommunicationError": CodeWebIdentity,
}

// APICode returns the code for a service's error code that is about credentials,
// or the zero code.
func APICode(name string) fault.Code { return apiCodes[name] }

// Answer returns what a service answered to a request, or nil when the request
// did not reach it. The refusal of credentials by STS is no answer to the request
// that needed them.
func Answer(err error) smithy.APIError {
	var api smithy.APIError
	if AboutCredentials(err) || !errors.As(err, &api) {
		return nil
	}
	return api
}

// notAuthorized is what IAM writes where it does not encode it.
var notAuthorized = regexp.MustCompile(`not authorized to perform: (\w+:\w+)(?: on resource: (\S+))?`)

// Denied returns the action that a service names in its refusal, and the resource
// if it names that too; else "".
func Denied(err error) (action, resource string) {
	api := Answer(err)
	if api == nil {
		return "", ""
	}
	m := notAuthorized.FindStringSubmatch(api.ErrorMessage())
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

// Fault explains the error of a request as far as it is about credentials or the
// network.
func Fault(what string, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, known) // without the SDK's words around it
	}
	if AboutCredentials(err) {
		return &fault.Error{Code: credentialsCode(err), What: what, Err: Plain(err)}
	}
	if api := Answer(err); api != nil {
		return &fault.Error{Code: APICode(api.ErrorCode()), What: what, Err: Plain(err)}
	}
	return ConnectionFault(what, err)
}

// AboutCredentials reports whether a request failed for want of credentials. It
// knows the words with which the SDK wraps the errors of all their sources; there
// is no type.
func AboutCredentials(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "get credentials") || strings.Contains(text, "refresh cached credentials")
}

func credentialsCode(err error) fault.Code {
	operation := tokenOperation(err)
	var api smithy.APIError
	if operation == "" || !errors.As(err, &api) {
		return CodeNoCredentials
	}
	code := apiCodes[api.ErrorCode()]
	switch {
	case api.ErrorCode() == "AccessDenied", api.ErrorCode() == "ValidationError": // of the role's name
		return CodeRoleRefused
	case operation == "AssumeRoleWithWebIdentity" && (code.ID == "" || code.ID == CodeExpiredToken.ID):
		return CodeWebIdentity
	case code.ID == "":
		return CodeNoCredentials
	}
	return code
}

// tokenOperation returns the request to STS that failed on the way to
// credentials, or "".
func tokenOperation(err error) string {
	for err != nil {
		var operation *smithy.OperationError
		if !errors.As(err, &operation) {
			return ""
		}
		if operation.Service() == "STS" {
			return operation.Operation()
		}
		err = operation.Unwrap()
	}
	return ""
}

// Status returns the HTTP status of a service's answer, or 0.
func Status(err error) int {
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		return resp.HTTPStatusCode()
	}
	return 0
}

// ConnectionFault explains why no answer came from a server.
func ConnectionFault(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, context.Canceled) // no fault of the network
	}
	return &fault.Error{Code: connectionCode(err), What: what, Err: Plain(err)}
}

func connectionCode(err error) fault.Code {
	var (
		unknownAuthority x509.UnknownAuthorityError
		certificate      x509.CertificateInvalidError
		hostname         x509.HostnameError
		verification     *tls.CertificateVerificationError
		record           tls.RecordHeaderError
		dns              *net.DNSError
		op               *net.OpError
	)
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect", strings.Contains(err.Error(), "Proxy Authentication Required"):
		return CodeProxy
	case errors.As(err, &unknownAuthority):
		return CodeUntrusted
	case errors.As(err, &certificate), errors.As(err, &hostname), errors.As(err, &verification):
		return CodeCertificate
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"),
		strings.Contains(err.Error(), "malformed HTTP response"):
		return CodeNotTLS
	case errors.As(err, &dns):
		return CodeDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CodeRefused
	case AboutCredentials(err):
		return CodeNoCredentials
	}
	return CodeUnreachable
}

// plainError shows the essence of an SDK error, whose own text wraps it in layers
// of Go and HTTP terms.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// Plain returns err with a short text: the service's code and message, else the
// innermost error.
func Plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		text := api.ErrorCode()
		if msg := strings.TrimSuffix(messageOf(api), "."); msg != "" && msg != text {
			text += ": " + msg
		}
		var resp *awshttp.ResponseError
		if errors.As(err, &resp) && resp.Response != nil {
			text += fmt.Sprintf(" (HTTP %d, request id %s)", resp.HTTPStatusCode(), resp.ServiceRequestID())
		}
		return &plainError{text, err}
	}
	var request *url.Error
	if errors.As(err, &request) {
		return &plainError{request.Err.Error() + " (" + request.Op + " " + host(request.URL) + ")", err}
	}
	return err
}

// messageOf returns the message of an answer, without the long code in which IAM
// repeats what it has said in words.
func messageOf(api smithy.APIError) string {
	words, _, _ := strings.Cut(api.ErrorMessage(), " Encoded authorization failure message: ")
	if notAuthorized.MatchString(words) {
		return words
	}
	return api.ErrorMessage()
}

// host returns the address in a URL, without a query that may hold a signature.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an invalid URL"
	}
	return u.Scheme + "://" + u.Host
}
