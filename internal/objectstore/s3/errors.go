package s3

import (
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
	CodeKMS, CodeEncryption, CodeStorageFull, CodeArchived, CodeChanged, CodeDamaged, CodeNotStore, CodeFalseAnswer, CodeTooLarge,
}

// apiCodes maps what S3 and its relatives answer, besides what package awsaccess
// knows.
var apiCodes = map[string]fault.Code{
	"NoSuchBucket":                       CodeNoSuchBucket,
	"InvalidBucketName":                  CodeNoSuchBucket,
	"NoSuchKey":                          CodeNoSuchKey,
	"NotFound":                           CodeNoSuchKey, // HEAD has no body
	"AccessDenied":                       CodeAccessDenied,
	"AllAccessDisabled":                  CodeAccessDenied,
	"AccountProblem":                     CodeAccessDenied,
	"Forbidden":                          CodeAccessDenied,
	"AuthorizationHeaderMalformed":       CodeWrongRegion,
	"PermanentRedirect":                  CodeWrongRegion,
	"TemporaryRedirect":                  CodeWrongRegion,
	"IllegalLocationConstraintException": CodeWrongRegion,
	"InvalidRegion":                      CodeWrongRegion,
	"SlowDown":                           endpoint.CodeBusy,
	"SlowDownRead":                       endpoint.CodeBusy,
	"SlowDownWrite":                      endpoint.CodeBusy,
	"ServiceUnavailable":                 endpoint.CodeBusy,
	"InternalError":                      endpoint.CodeBusy,
	"QuotaExceeded":                      CodeStorageFull,
	"QuotaExceededException":             CodeStorageFull,
	"XMinioStorageFull":                  CodeStorageFull,
	"XMinioAdminBucketQuotaExceeded":     CodeStorageFull,
	"InsufficientStorage":                CodeStorageFull,
	"InvalidObjectState":                 CodeArchived,
	"PreconditionFailed":                 CodeChanged,
	"BadDigest":                          CodeDamaged,
	"XAmzContentSHA256Mismatch":          CodeDamaged,
	"XAmzContentChecksumMismatch":        CodeDamaged,
	"ContentSHA256Mismatch":              CodeDamaged,
	"InvalidEncryptionAlgorithmError":    CodeEncryption,
	"InvalidEncryptionMethod":            CodeEncryption,
	"ServerSideEncryptionConfigurationNotFoundError": CodeEncryption,
}

// names are the settings that errors of the network speak of.
var names = endpoint.Settings{
	Address: "s3Url or region",
	CACert:  "objectStorage.caCert of the location",
	Skip:    "insecureSkipTLSVerify",
	Advice:  "for an object store that has no name for each bucket set s3ForcePathStyle to \"true\"",
	Busy:    "look after the server; AWS_MAX_ATTEMPTS in Velero's environment raises the number of attempts",
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
	page := pageOf(err)
	switch api := awsaccess.Answer(err); {
	case errors.Is(err, fs.ErrNotExist):
		f.Code, f.Err = CodeNoSuchKey, answer.Absent(f.Err)
	case page != nil:
		f.Code, f.Err, f.Fix = CodeNotStore, page, page.Fix(l.endpointKey(), l.pool.Size())
	case errors.Is(err, transfer.ErrChanged):
		f.Code = CodeChanged
	case errors.Is(err, transfer.ErrTooLarge):
		f.Code = CodeTooLarge
	case isFalse(err):
		f.Code = CodeFalseAnswer
	case api != nil:
		f.Code, f.Fix = l.classify(err, api)
	default:
		return awsaccess.Fault(what, err, names)
	}
	return f
}

// isFalse reports whether the server broke a rule with its answer.
func isFalse(err error) bool {
	for _, rule := range []error{
		answer.ErrRangeUnknown, answer.ErrRangeWrong, answer.ErrLengthUnknown, answer.ErrEncoded, errNoETag, errNoProgress, errOtherList,
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

// classify finds the code and, where the configuration matters, the fix for an
// answer of the server.
func (l *location) classify(err error, api smithy.APIError) (code fault.Code, fix string) {
	status := awsaccess.Status(err)
	region := regionHeader(err)
	text := api.ErrorCode() + " " + api.ErrorMessage()
	code, ok := apiCodes[api.ErrorCode()]
	if !ok {
		code = awsaccess.APICode(api.ErrorCode())
	}
	switch {
	case region != "" && region != l.region:
		return CodeWrongRegion, fmt.Sprintf("set region to %s in the config of the location", region)
	case strings.Contains(strings.ToLower(text), "kms"):
		code = CodeKMS
	case code.ID != "":
	case status == http.StatusMovedPermanently:
		code = CodeWrongRegion
	case status == http.StatusForbidden:
		code = CodeAccessDenied
	case status == http.StatusInsufficientStorage:
		code = CodeStorageFull
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		code = endpoint.CodeBusy
	case l.encryption.present() && (status == http.StatusBadRequest || status == http.StatusNotImplemented):
		code = CodeEncryption
	}
	if isDenied(err) && (code.ID == CodeAccessDenied.ID || deniedAction(err) != "") {
		fix = l.allow(err)
	}
	if code.ID == endpoint.CodeBusy.ID {
		fix = names.Busy
	}
	return code, fix
}
