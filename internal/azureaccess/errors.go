package azureaccess

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeCredentialsFile = fault.Code{
		ID:      "AZURE_CREDENTIALS_INVALID",
		Meaning: "The credentials cannot be read, or lack an entry.",
		Fix:     "give credentials of lines KEY=VALUE, such as AZURE_TENANT_ID=..., AZURE_CLIENT_ID=... and AZURE_CLIENT_SECRET=...",
	}
	CodeCloud = fault.Code{
		ID:      "AZURE_CLOUD_UNKNOWN",
		Meaning: "The credentials name a cloud that does not exist.",
		Fix:     "set AZURE_CLOUD_NAME to AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud, or remove the line",
	}
	CodeSignIn = fault.Code{
		ID:      "AZURE_SIGN_IN_REFUSED",
		Meaning: "Microsoft Entra ID does not accept the application's credentials.",
		Fix:     "correct AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (the secret's value, not its id), and check that the secret or certificate has not expired",
	}
	CodeFederation = fault.Code{
		ID:      "AZURE_FEDERATION_REFUSED",
		Meaning: "Microsoft Entra ID does not accept the token of the pod's service account.",
		Fix: "add a federated credential to the application or identity: issuer of the cluster (oc get authentication cluster), " +
			"subject system:serviceaccount:openshift-adp:velero, and the audience of the projected token",
	}
	CodeManagedIdentity = fault.Code{
		ID:      "AZURE_MANAGED_IDENTITY_UNAVAILABLE",
		Meaning: "The machine has no managed identity, or not the one that is asked for.",
		Fix:     "assign the identity to the machines of the node pool, or give credentials of another kind in spec.credential of the location",
	}
	CodeDenied = fault.Code{
		ID:      "AZURE_ACCESS_DENIED",
		Meaning: "The identity is valid, but Azure Resource Manager does not allow it to do this.",
		Fix:     "assign a role that has the action named in the cause, on the resource group named there",
	}
	CodePolicy = fault.Code{
		ID:      "AZURE_POLICY",
		Meaning: "A policy of the subscription refuses the resource.",
		Fix:     "set tags in the config of the snapshot location to those that the policy wants",
	}
	CodeNotFound = fault.Code{
		ID:      "AZURE_RESOURCE_MISSING",
		Meaning: "The resource is not in the subscription and resource group.",
		Fix:     "check subscriptionId and resourceGroup of the location, and AZURE_SUBSCRIPTION_ID and AZURE_RESOURCE_GROUP of the credentials",
	}
	CodeBusy = fault.Code{
		ID:      "AZURE_BUSY",
		Meaning: "Azure Resource Manager kept failing or asking to slow down, also after several attempts.",
		Fix:     "try again later; fewer locations and backups at a time need fewer requests, and useAAD needs none for keys",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeCredentialsFile, CodeCloud, CodeSignIn, CodeFederation, CodeManagedIdentity, CodeDenied, CodePolicy, CodeNotFound, CodeBusy,
}

// Settings are the names of configuration keys for errors of the network.
var Settings = endpoint.Settings{
	Address: "storageAccountURI, resourceManagerEndpoint or activeDirectoryAuthorityURI",
	CACert:  "objectStorage.caCert of a backup location, or the config key caCert of a snapshot location",
}

// Status returns the HTTP status of a service's answer, or 0.
func Status(err error) int {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// ErrorCode returns the code of a service's answer, such as BlobNotFound, or "".
func ErrorCode(err error) string {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return answer.ErrorCode
	}
	return ""
}

// signInFault explains why there is no token.
func signInFault(t *Token, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	what := "error signing in with the " + t.String()
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		if t.Kind == "managed identity" {
			return nonRetriable{&fault.Error{Code: CodeManagedIdentity, What: what, Err: firstLine(err)}}
		}
		if endpoint.IsNetwork(err) {
			return nonRetriable{Settings.Fault(what, err)}
		}
		return nonRetriable{&fault.Error{Code: CodeSignIn, What: what, Err: firstLine(err)}}
	}
	f := &fault.Error{Code: CodeSignIn, What: what, Err: endpoint.WithText(signInText(failed.RawResponse), err)}
	switch {
	case t.Kind == "managed identity":
		f.Code = CodeManagedIdentity
	case t.Kind == "workload identity":
		f.Code = CodeFederation
	}
	return nonRetriable{f}
}

// nonRetriable keeps the SDK from asking for a token again for the same request.
type nonRetriable struct{ error }

// NonRetriable is the SDK's mark.
func (nonRetriable) NonRetriable() {}

// Unwrap returns the error.
func (e nonRetriable) Unwrap() error { return e.error }

// signInText returns what the login service wrote, without the numbers that only
// its makers can use.
func signInText(response *http.Response) string {
	body, _ := runtime.Payload(response)
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &answer)
	text, _, _ := strings.Cut(answer.Description, "Trace ID:")
	if text = firstOf(text); text == "" {
		text = answer.Error
	}
	return strings.TrimSpace(fmt.Sprintf("%s (HTTP %d)", text, response.StatusCode))
}

func firstLine(err error) error { return endpoint.WithText(firstOf(err.Error()), err) }

func firstOf(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimRight(strings.TrimSpace(text), ".")
}

// Plain returns an error of a service with a short text: the service's code and
// message, else the cause of the network.
func Plain(err error) error {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return endpoint.Plain(err)
	}
	text := answer.ErrorCode
	if message := Message(err); message != "" {
		text = strings.TrimPrefix(text+": "+message, ": ")
	}
	if text == "" {
		text = http.StatusText(answer.StatusCode)
	}
	text += fmt.Sprintf(" (HTTP %d", answer.StatusCode)
	if answer.RawResponse != nil {
		if id := answer.RawResponse.Header.Get("x-ms-request-id"); id != "" {
			text += ", request id " + id
		}
	}
	return endpoint.WithText(text+")", err)
}

// Message returns the message of a service's answer, without the request id and
// time that Blob storage adds to it.
func Message(err error) string {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.RawResponse == nil {
		return ""
	}
	body, _ := runtime.Payload(answer.RawResponse)
	var fields struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	var document struct {
		XMLName xml.Name `xml:"Error"`
		Message string   `xml:"Message"`
	}
	message := ""
	if json.Unmarshal(body, &fields) == nil {
		message = fields.Error.Message
	} else if xml.Unmarshal(body, &document) == nil {
		message = document.Message
	}
	return firstOf(message)
}

// deniedAction is what Azure Resource Manager writes about a missing permission.
var deniedAction = regexp.MustCompile(`does not have authorization to perform action '([^']+)' over scope '([^']+)'`)

// ManagerFault explains the error of a request to Azure Resource Manager.
func ManagerFault(what string, err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("%s: %w", what, known) // without the SDK's words around it
	}
	if Status(err) == 0 {
		return Settings.Fault(what, err)
	}
	f := &fault.Error{What: what, Err: Plain(err)}
	switch status, code := Status(err), ErrorCode(err); {
	case code == "RequestDisallowedByPolicy":
		f.Code = CodePolicy
	case status == http.StatusForbidden:
		f.Code = CodeDenied
		if m := deniedAction.FindStringSubmatch(Message(err)); m != nil {
			f.Fix = "assign a role with the action " + m[1] + " on " + m[2]
		}
	case status == http.StatusUnauthorized:
		f.Code = CodeSignIn
	case status == http.StatusNotFound:
		f.Code = CodeNotFound
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		f.Code = CodeBusy
	}
	return f
}
