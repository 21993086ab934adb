package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeNotReady = fault.Code{
		ID:      "S3_NOT_INITIALIZED",
		Meaning: "A call came before the store had a configuration.",
		Fix:     "look in the log for the error of the initialization",
	}
	CodeCABundle = fault.Code{
		ID:      "S3_CA_BUNDLE_INVALID",
		Meaning: "The certificates to trust cannot be read.",
		Fix:     "give PEM certificates (-----BEGIN CERTIFICATE-----) in caCert and in the file of AWS_CA_BUNDLE",
	}
	CodeCredentialsFile = fault.Code{
		ID:      "S3_CREDENTIALS_FILE_INVALID",
		Meaning: "The credentials file cannot be read, or lacks the profile.",
		Fix:     "give a credentials file in INI form with the profile, and name the profile in the key profile if it is not default",
	}
	CodeNoCredentials = fault.Code{
		ID:      "S3_NO_CREDENTIALS",
		Meaning: "No credentials could be obtained.",
		Fix:     "set spec.credential of the location, or give the pod a web identity or a role; see the cause for the source that was tried",
	}
	CodeCustomerKey = fault.Code{
		ID:      "S3_CUSTOMER_KEY_INVALID",
		Meaning: "The key for server-side encryption with customer-provided keys cannot be read or has a wrong size.",
		Fix:     "give a key of exactly 32 bytes, not encoded and without a line break",
	}
	CodeRegionUnknown = fault.Code{
		ID:      "S3_REGION_UNKNOWN",
		Meaning: "The region of the bucket could not be discovered.",
		Fix:     "set region in the config of the location",
	}
	CodeWrongRegion = fault.Code{
		ID:      "S3_WRONG_REGION",
		Meaning: "Requests go to, or are signed for, another region than the bucket's.",
		Fix:     "correct region in the config of the location, or remove it to have it discovered",
	}
	CodeNoSuchBucket = fault.Code{
		ID:      "S3_NO_SUCH_BUCKET",
		Meaning: "The bucket does not exist.",
		Fix:     "create the bucket, or correct objectStorage.bucket of the location",
	}
	CodeNoSuchKey = fault.Code{
		ID:      "S3_NO_SUCH_KEY",
		Meaning: "The object does not exist.",
		Fix:     "check that the backup is complete and that bucket and prefix of the location are right",
	}
	CodeAccessDenied = fault.Code{
		ID:      "S3_ACCESS_DENIED",
		Meaning: "The credentials are valid, but not allowed to do this.",
		Fix:     "allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on its objects",
	}
	CodeUnknownAccessKey = fault.Code{
		ID:      "S3_UNKNOWN_ACCESS_KEY",
		Meaning: "The server does not know the access key.",
		Fix:     "correct aws_access_key_id in the credentials, and check that they belong to this server",
	}
	CodeWrongSecretKey = fault.Code{
		ID:      "S3_SIGNATURE_MISMATCH",
		Meaning: "The signature of the request is wrong.",
		Fix:     "correct aws_secret_access_key in the credentials; if it is right, look for a proxy that changes requests",
	}
	CodeExpiredToken = fault.Code{
		ID:      "S3_EXPIRED_TOKEN",
		Meaning: "The session token has expired or is not valid.",
		Fix:     "renew the credentials; keys of a role need one that renews itself, such as a web identity",
	}
	CodeClockSkew = fault.Code{
		ID:      "S3_CLOCK_SKEW",
		Meaning: "The clocks of this machine and of the server differ too much.",
		Fix:     "synchronize the clock of the node that Velero runs on",
	}
	CodeKMS = fault.Code{
		ID:      "S3_KMS_FAILED",
		Meaning: "The KMS key could not be used.",
		Fix:     "check kmsKeyId, that the key is enabled and in the bucket's region, and allow kms:GenerateDataKey and kms:Decrypt",
	}
	CodeEncryption = fault.Code{
		ID:      "S3_ENCRYPTION_REFUSED",
		Meaning: "The server refuses or does not support the encryption asked for.",
		Fix:     "check serverSideEncryption, kmsKeyId and the customer key; a customer key needs an https endpoint and must be the one that the object was written with",
	}
	CodeStorageFull = fault.Code{
		ID:      "S3_STORAGE_FULL",
		Meaning: "The server has no space left, or a quota is used up.",
		Fix:     "free space, raise the quota, or let backups expire earlier",
	}
	CodeBusy = fault.Code{
		ID:      "S3_SERVER_BUSY",
		Meaning: "The server kept failing or asking to slow down, also after several attempts.",
		Fix:     "look after the server; AWS_MAX_ATTEMPTS in Velero's environment raises the number of attempts",
	}
	CodeArchived = fault.Code{
		ID:      "S3_OBJECT_ARCHIVED",
		Meaning: "The object is in an archive class and cannot be read at once.",
		Fix:     "restore the object in S3 first, and keep lifecycle rules from archiving backups",
	}
	CodeChanged = fault.Code{
		ID:      "S3_OBJECT_CHANGED",
		Meaning: "The object was replaced while it was read.",
		Fix:     "try again, and make sure that one Velero only writes to the location",
	}
	CodeTooLarge = fault.Code{
		ID:      "S3_OBJECT_TOO_LARGE",
		Meaning: "The object needs more parts than S3 allows.",
		Fix:     "raise multipartPartSizeMiB in the config of the location",
	}
	CodeDNS = fault.Code{
		ID:      "S3_UNKNOWN_HOST",
		Meaning: "The name of the server cannot be resolved.",
		Fix:     "correct s3Url or region; for a server that has no name for each bucket set s3ForcePathStyle to \"true\"",
	}
	CodeRefused = fault.Code{
		ID:      "S3_CONNECTION_REFUSED",
		Meaning: "Nothing answers at the server's address.",
		Fix:     "check that the server runs, and the host and port of s3Url",
	}
	CodeProxy = fault.Code{
		ID:      "S3_PROXY_FAILED",
		Meaning: "The HTTP proxy cannot be reached or refuses the connection.",
		Fix:     "correct HTTPS_PROXY, or add the server to NO_PROXY",
	}
	CodeUntrusted = fault.Code{
		ID:      "S3_CERTIFICATE_UNTRUSTED",
		Meaning: "The server's certificate is not signed by an authority that is trusted here.",
		Fix:     "put the certificate of the authority into objectStorage.caCert of the location",
	}
	CodeCertificate = fault.Code{
		ID:      "S3_CERTIFICATE_INVALID",
		Meaning: "The server's certificate has expired or is for another name.",
		Fix:     "renew the certificate, or use a name in s3Url that it is valid for",
	}
	CodeNotTLS = fault.Code{
		ID:      "S3_NOT_TLS",
		Meaning: "The server does not speak TLS on this port, or speaks it where plain HTTP is expected.",
		Fix:     "correct the scheme or the port of s3Url",
	}
	CodeUnreachable = fault.Code{
		ID:      "S3_UNREACHABLE",
		Meaning: "The server cannot be reached, or the connection broke.",
		Fix:     "check the network between Velero's pod and the server, network policies and firewalls included",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeNotReady, CodeCABundle, CodeCredentialsFile, CodeNoCredentials, CodeCustomerKey, CodeRegionUnknown,
	CodeWrongRegion, CodeNoSuchBucket, CodeNoSuchKey, CodeAccessDenied, CodeUnknownAccessKey, CodeWrongSecretKey,
	CodeExpiredToken, CodeClockSkew, CodeKMS, CodeEncryption, CodeStorageFull, CodeBusy, CodeArchived, CodeChanged,
	CodeTooLarge, CodeDNS, CodeRefused, CodeProxy, CodeUntrusted, CodeCertificate, CodeNotTLS, CodeUnreachable,
}

// apiCodes maps what S3 and its relatives answer.
var apiCodes = map[string]fault.Code{
	"NoSuchBucket":                       CodeNoSuchBucket,
	"NoSuchKey":                          CodeNoSuchKey,
	"NotFound":                           CodeNoSuchKey, // HEAD has no body
	"AccessDenied":                       CodeAccessDenied,
	"AllAccessDisabled":                  CodeAccessDenied,
	"AccountProblem":                     CodeAccessDenied,
	"Forbidden":                          CodeAccessDenied,
	"InvalidAccessKeyId":                 CodeUnknownAccessKey,
	"SignatureDoesNotMatch":              CodeWrongSecretKey,
	"ExpiredToken":                       CodeExpiredToken,
	"ExpiredTokenException":              CodeExpiredToken,
	"InvalidToken":                       CodeExpiredToken,
	"InvalidTokenId":                     CodeExpiredToken,
	"TokenRefreshRequired":               CodeExpiredToken,
	"RequestTimeTooSkewed":               CodeClockSkew,
	"AuthorizationHeaderMalformed":       CodeWrongRegion,
	"PermanentRedirect":                  CodeWrongRegion,
	"TemporaryRedirect":                  CodeWrongRegion,
	"IllegalLocationConstraintException": CodeWrongRegion,
	"InvalidRegion":                      CodeWrongRegion,
	"SlowDown":                           CodeBusy,
	"SlowDownRead":                       CodeBusy,
	"SlowDownWrite":                      CodeBusy,
	"ServiceUnavailable":                 CodeBusy,
	"InternalError":                      CodeBusy,
	"QuotaExceeded":                      CodeStorageFull,
	"QuotaExceededException":             CodeStorageFull,
	"XMinioStorageFull":                  CodeStorageFull,
	"XMinioAdminBucketQuotaExceeded":     CodeStorageFull,
	"InsufficientStorage":                CodeStorageFull,
	"InvalidObjectState":                 CodeArchived,
	"PreconditionFailed":                 CodeChanged,
	"InvalidEncryptionAlgorithmError":    CodeEncryption,
	"InvalidEncryptionMethod":            CodeEncryption,
	"ServerSideEncryptionConfigurationNotFoundError": CodeEncryption,
}

// explain returns err as an error that says what failed and what to do.
func (l *location) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, err)
	}
	f := &fault.Error{What: what, Err: plain(err)}
	var api smithy.APIError
	switch {
	case errors.Is(err, transfer.ErrChanged):
		f.Code = CodeChanged
	case errors.Is(err, transfer.ErrTooLarge):
		f.Code = CodeTooLarge
	case errors.As(err, &api):
		f.Code, f.Fix = l.classify(err, api)
	default:
		return connectionFault(what, err)
	}
	return f
}

// classify finds the code and, where the configuration matters, the fix for an
// answer of the server.
func (l *location) classify(err error, api smithy.APIError) (code fault.Code, fix string) {
	status := statusOf(err)
	region := regionHeader(err)
	text := api.ErrorCode() + " " + api.ErrorMessage()
	code = apiCodes[api.ErrorCode()]
	switch {
	case region != "" && region != l.region:
		return CodeWrongRegion, fmt.Sprintf("set region to %s in the config of the location", region)
	case strings.Contains(strings.ToLower(text), "kms"):
		return CodeKMS, ""
	case code.ID != "":
	case status == http.StatusMovedPermanently:
		code = CodeWrongRegion
	case status == http.StatusForbidden:
		code = CodeAccessDenied
	case status == http.StatusInsufficientStorage:
		code = CodeStorageFull
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		code = CodeBusy
	case l.encryption.present() && (status == http.StatusBadRequest || status == http.StatusNotImplemented):
		code = CodeEncryption
	}
	if code.ID == CodeAccessDenied.ID && l.tagging != nil {
		fix = CodeAccessDenied.Fix + "; tagging needs s3:PutObjectTagging as well"
	}
	return code, fix
}

func statusOf(err error) int {
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) && resp.Response != nil {
		return resp.HTTPStatusCode()
	}
	return 0
}

// connectionFault explains why no answer came from the server.
func connectionFault(what string, err error) error {
	if errors.Is(err, context.Canceled) && !errors.Is(err, errStalled) {
		return fmt.Errorf("%s: %w", what, context.Canceled) // no fault of the network
	}
	return &fault.Error{Code: connectionCode(err), What: what, Err: plain(err)}
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
	case strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "refresh cached credentials"):
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

// plain returns err with a short text: the server's code and message, else the
// innermost error.
func plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		text := api.ErrorCode()
		if msg := strings.TrimSuffix(api.ErrorMessage(), "."); msg != "" && msg != text {
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

// host returns the address in a URL, without a query that may hold a signature.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an invalid URL"
	}
	return u.Scheme + "://" + u.Host
}
