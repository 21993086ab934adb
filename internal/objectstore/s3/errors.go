package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
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
		Fix:     "allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects",
	}
	CodeAccount = fault.Code{
		ID:      "S3_ACCOUNT_PROBLEM",
		Meaning: "The account of the credentials or of the bucket is closed, suspended or not ready for use.",
		Fix:     "see the cause, and settle it with the provider of the store; no setting of the location helps",
	}
	CodeAddressing = fault.Code{
		ID:      "S3_ADDRESSING_REFUSED",
		Meaning: "The server wants the name of the bucket in another place of the URL.",
		Fix:     "change s3ForcePathStyle in the config of the location",
	}
	CodeRefused = fault.Code{
		ID:      "S3_REQUEST_REFUSED",
		Meaning: "The server refused the request for a reason of its own, which is in the cause.",
		Fix:     "look up the code that the server gives in the documentation of the store",
	}
	CodeUnsupported = fault.Code{
		ID:      "S3_NOT_SUPPORTED",
		Meaning: "The server does not support something that the request asks for.",
		Fix:     "look up the code that the server gives in the documentation of the store",
	}
	CodePartSize = fault.Code{
		ID:      "S3_PART_SIZE_REFUSED",
		Meaning: "The parts of uploads are too large or too small for the server.",
		Fix:     "change multipartPartSizeMiB in the config of the location",
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
	CodeDamaged = fault.Code{
		ID:      "S3_DAMAGED",
		Meaning: "The server received other bytes than were sent, and refused them.",
		Fix:     "try again; if it happens again, look for a proxy that changes requests and for faulty memory or network hardware",
	}
	CodeSignedURL = fault.Code{
		ID:      "S3_SIGNED_URL_FAILED",
		Meaning: "An object cannot be fetched by its signed URL. Backups work all the same, but velero backup logs, describe and download do not.",
		Fix:     "let proxies in front of the store keep the Host header and the query as they are, or set publicUrl to an address of the store that does",
	}
	CodeNotStore = fault.Code{
		ID:      "S3_FOREIGN_ANSWER",
		Meaning: "Something that is no S3 server answered: a proxy, an ingress, a login page or a web console.",
		Fix:     "give the address of the S3 server itself in s3Url, and look at what stands between Velero and the store",
	}
	CodeFalseAnswer = fault.Code{
		ID:      "S3_FALSE_ANSWER",
		Meaning: "The answer of the server contradicts itself or the request, so its content cannot be trusted.",
		Fix:     "look for a proxy or a cache that changes answers between Velero and the store, and update the store if there is none",
	}
	CodeTooLarge = fault.Code{
		ID:      "S3_OBJECT_TOO_LARGE",
		Meaning: "The object needs more parts than S3 allows.",
		Fix:     "raise multipartPartSizeMiB in the config of the location",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeNotReady, CodeCustomerKey, CodeRegionUnknown, CodeWrongRegion, CodeNoSuchBucket, CodeNoSuchKey, CodeAccessDenied,
	CodeAccount, CodeAddressing, CodeRefused, CodeUnsupported, CodePartSize, CodeKMS, CodeEncryption, CodeStorageFull,
	CodeArchived, CodeChanged, CodeDamaged, CodeSignedURL, CodeNotStore, CodeFalseAnswer, CodeTooLarge,
}

// apiCodes maps the codes in the answers of S3 and its relatives, besides those
// that package awsaccess knows.
var apiCodes = map[string]fault.Code{
	"NoSuchBucket":      CodeNoSuchBucket,
	"InvalidBucketName": CodeNoSuchBucket,
	"NoSuchKey":         CodeNoSuchKey,
	"NotFound":          CodeNoSuchKey, // the answer to HEAD has no body

	"AccessDenied":        CodeAccessDenied,
	"Forbidden":           CodeAccessDenied, // the answer to HEAD has no body
	"Unauthorized":        CodeAccessDenied,
	"UnauthorizedAccess":  CodeAccessDenied,
	"AuthorizationFailed": CodeAccessDenied,

	"AllAccessDisabled": CodeAccount,
	"AccountProblem":    CodeAccount,
	"AccountSuspended":  CodeAccount,
	"InvalidPayer":      CodeAccount,
	"NotSignedUp":       CodeAccount,
	"UserDisable":       CodeAccount,
	"UserSuspended":     CodeAccount,

	"SecondLevelDomainForbidden": CodeAddressing,
	"PathStyleDomainForbidden":   CodeAddressing,
	"VirtualHostDomainRequired":  CodeAddressing,

	"AuthorizationHeaderMalformed":       CodeWrongRegion,
	"PermanentRedirect":                  CodeWrongRegion,
	"TemporaryRedirect":                  CodeWrongRegion,
	"IllegalLocationConstraintException": CodeWrongRegion,
	"InvalidRegion":                      CodeWrongRegion,

	"SlowDown":           endpoint.CodeBusy,
	"SlowDownRead":       endpoint.CodeBusy,
	"SlowDownWrite":      endpoint.CodeBusy,
	"ServiceUnavailable": endpoint.CodeBusy,
	"InternalError":      endpoint.CodeBusy,

	"QuotaExceeded":                  CodeStorageFull,
	"QuotaExceededException":         CodeStorageFull,
	"XMinioStorageFull":              CodeStorageFull,
	"XMinioAdminBucketQuotaExceeded": CodeStorageFull,
	"InsufficientStorage":            CodeStorageFull,

	"InvalidObjectState":          CodeArchived,
	"PreconditionFailed":          CodeChanged,
	"BadDigest":                   CodeDamaged,
	"XAmzContentSHA256Mismatch":   CodeDamaged,
	"XAmzContentChecksumMismatch": CodeDamaged,
	"ContentSHA256Mismatch":       CodeDamaged,

	"InvalidEncryptionAlgorithmError":                CodeEncryption,
	"InvalidEncryptionMethod":                        CodeEncryption,
	"ServerSideEncryptionConfigurationNotFoundError": CodeEncryption,

	"EntityTooLarge": CodePartSize,
	"EntityTooSmall": CodePartSize,

	"AccessControlListNotSupported": CodeUnsupported,
	"InvalidStorageClass":           CodeUnsupported,
	"InvalidTag":                    CodeUnsupported,
	"MethodNotAllowed":              CodeUnsupported,
	"NotImplemented":                CodeUnsupported,
}

// names are the config keys that errors of the network speak of.
func (s settings) names() endpoint.Settings {
	n := endpoint.Settings{
		Address: "region",
		CACert:  "objectStorage.caCert of the location",
		Skip:    "insecureSkipTLSVerify",
		Busy:    "look after the server; AWS_MAX_ATTEMPTS in Velero's environment raises the number of attempts",
	}
	if s.endpoint != "" {
		n.Address = "s3Url"
		if !s.pathStyle {
			n.Advice = `for a store that has no name for each bucket set s3ForcePathStyle to "true"`
		}
	}
	return n
}

// explain returns err as an error that says what failed and what to do.
func (l *location) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	return answer.Reword(l.explained(what, err))
}

func (l *location) explained(what string, err error) error {
	var source *transfer.SourceError
	if errors.As(err, &source) {
		return fmt.Errorf("%s: %w", what, source.Err)
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, known)
	}
	f := &fault.Error{What: what, Err: awsaccess.Plain(err)}
	defer func() { f.Fix = cmp.Or(f.Fix, l.fix(f.Code, err), l.settings.names().Fix(f.Code)) }()
	page := pageOf(err)
	var undecodable *smithy.DeserializationError
	switch api := awsaccess.Answer(err); {
	case errors.Is(err, fs.ErrNotExist):
		f.Code, f.Err = CodeNoSuchKey, answer.Absent(f.Err)
	case page != nil:
		f.Code, f.Err, f.Fix = CodeNotStore, page, page.Fix(l.endpointKey(), l.pool.Size())
	case errors.Is(err, transfer.ErrChanged):
		f.Code = CodeChanged
	case errors.Is(err, transfer.ErrTooLarge):
		f.Code = CodeTooLarge
	case isNotTLS(err):
		f.Code, f.Err = endpoint.CodeNotTLS, errors.New("the server expects TLS on this port, and got a request over plain HTTP")
	case isFalse(err):
		f.Code = CodeFalseAnswer
	case api == nil && errors.As(err, &undecodable):
		f.Code, f.Err = CodeFalseAnswer, fmt.Errorf("the answer cannot be read: %w", undecodable.Err)
	case errors.Is(err, context.DeadlineExceeded):
		f.Code, f.Err = endpoint.CodeUnreachable, fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case api != nil:
		f.Code = l.classify(err, api)
	default:
		return l.unreached(what, err)
	}
	return f
}

// unreached explains an error that no answer of the server has caused.
func (l *location) unreached(what string, err error) error {
	err = awsaccess.Fault(what, err, l.settings.names())
	var f *fault.Error
	if errors.As(err, &f) {
		f.Fix = cmp.Or(l.fix(f.Code, err), f.Fix)
	}
	return err
}

// isFalse reports whether the server broke a rule with its answer.
func isFalse(err error) bool {
	for _, rule := range []error{
		answer.ErrRangeUnknown, answer.ErrRangeWrong, answer.ErrLengthUnknown, answer.ErrEncoded, errNoETag, errNoUploadID, errNotDeleted, errNoProgress, errOtherList,
	} {
		if errors.Is(err, rule) {
			return true
		}
	}
	return false
}

// endpointKey returns the config key that has the address of the store, or "" if
// it is AWS.
func (l *location) endpointKey() string {
	if l.settings.endpoint == "" {
		return ""
	}
	return "s3Url"
}

// classify finds the code for an answer of the server.
func (l *location) classify(err error, api smithy.APIError) fault.Code {
	name, message, status := api.ErrorCode(), api.ErrorMessage(), awsaccess.Status(err)
	code, ok := apiCodes[name]
	if !ok {
		code = awsaccess.APICode(name)
	}
	region := regionOf(err)
	switch {
	case region != "" && region != l.region:
		return CodeWrongRegion
	case strings.HasPrefix(strings.ToLower(name), "kms"), strings.Contains(message, "KMS"), strings.Contains(message, "kms:"):
		return CodeKMS
	case strings.Contains(strings.ToLower(message), "cap exceeded"): // Backblaze answers AccessDenied
		return CodeStorageFull
	case code.ID != CodeUnsupported.ID && code.ID != "":
		return code
	case l.encryption.present() && (status == http.StatusBadRequest || status == http.StatusNotImplemented):
		return CodeEncryption
	case code.ID != "":
		return code
	case status == http.StatusMovedPermanently:
		return CodeWrongRegion
	case status == http.StatusInsufficientStorage:
		return CodeStorageFull
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return endpoint.CodeBusy
	}
	return CodeRefused
}
