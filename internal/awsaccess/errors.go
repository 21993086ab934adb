package awsaccess

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
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
	CodeRegion = fault.Code{
		ID:      "AWS_REGION_INVALID",
		Meaning: "A region is no name of a region: it cannot be a part of a host name.",
		Fix:     "give a region of AWS, such as eu-west-1, in the config of the location and in the profile of its credentials file",
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
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeCredentialsFile, CodeNoCredentials, CodeRegion, CodeRoleRefused, CodeWebIdentity, CodeUnknownAccessKey, CodeWrongSecretKey,
	CodeExpiredToken,
}

// apiCodes maps the error codes of services that refuse the credentials of a
// request.
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
	"RequestTimeTooSkewed":  endpoint.CodeClock,
	"RequestInTheFuture":    endpoint.CodeClock,
	"InvalidIdentityToken":  CodeWebIdentity,
	"IDPRejectedClaim":      CodeWebIdentity,
}

// APICode returns the code for a service's error code that is about credentials,
// or the zero code.
func APICode(name string) fault.Code { return apiCodes[name] }

// Answer returns the error that a service answered to a request, or nil when the
// request did not reach it. That STS refused credentials does not count: the request
// that needed them was never sent.
func Answer(err error) smithy.APIError {
	var api smithy.APIError
	if AboutCredentials(err) || !errors.As(err, &api) {
		return nil
	}
	return api
}

// notAuthorized matches the text of IAM for a missing permission, as far as IAM does
// not encode it: "is not authorized to perform: s3:PutObject on resource: arn:...".
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
// network. settings are those of the service.
func Fault(what string, err error, settings endpoint.Settings) error {
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
	return settings.Fault(what, err)
}

// AboutCredentials reports whether a request failed because there were no
// credentials for it. The SDK has no type for that, only words that it puts in front
// of the errors of all sources of credentials.
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
	switch {
	case errors.Is(err, endpoint.CodeRedirect):
		return endpoint.CodeRedirect
	case isBusy(err):
		return endpoint.CodeBusy
	case operation == "":
		return CodeNoCredentials
	case !errors.As(err, &api):
		return endpoint.Code(err)
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

// Plain returns err with a short text: the service's code and message, else the
// innermost error.
func Plain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		text := api.ErrorCode()
		if msg := strings.TrimSuffix(messageOf(api), "."); msg != "" && msg != "UnknownError" && msg != text {
			text += ": " + msg
		}
		var resp *awshttp.ResponseError
		if errors.As(err, &resp) && resp.Response != nil {
			text += fmt.Sprintf(" (HTTP %d, request id %s)", resp.HTTPStatusCode(), resp.ServiceRequestID())
		}
		return endpoint.WithText(text, err)
	}
	return endpoint.Plain(err)
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
