package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeCredential = fault.Code{
		ID:      "REGISTRY_CREDENTIAL_UNREADABLE",
		Meaning: "The token or password for the registry could not be read.",
		Fix:     "see the cause; a pod of Velero needs the token of its service account (automountServiceAccountToken)",
	}
	CodeUnauthorized = fault.Code{
		ID:      "REGISTRY_UNAUTHORIZED",
		Meaning: "The registry does not accept the token or password, also after it was read anew, or wants one and there is none.",
		Fix: "check that the token of Velero's service account is valid for this cluster, and let that service account get imagestreams/layers " +
			"in image.openshift.io to back images up, and update them to restore images",
	}
	CodeForbidden = fault.Code{
		ID:      "REGISTRY_FORBIDDEN",
		Meaning: "The registry knows who asks and does not permit it.",
		Fix: "let Velero's service account get imagestreams/layers in image.openshift.io in the repository's namespace to back images up " +
			"(role system:image-puller), and update them to restore images (role system:image-builder); check the namespace's quotas for images",
	}
	CodeFailed = fault.Code{
		ID:      "REGISTRY_FAILED",
		Meaning: "The registry answers with an error of its own, also after several attempts.",
		Fix:     "see the log of the registry (oc logs -n openshift-image-registry deployment/image-registry) and check that its storage is reachable and not full",
	}
	CodeRefused = fault.Code{
		ID:      "REGISTRY_REFUSED",
		Meaning: "The registry does not take the request.",
		Fix:     "see the cause, and the log of the registry",
	}
	CodeDamaged = fault.Code{
		ID:      "REGISTRY_DAMAGED",
		Meaning: "What was read as a manifest or blob is not what its digest and size say.",
		Fix:     "check the storage of the registry, or of the backup for a restore, for damage, and push or import the image again",
	}
	CodeUnsupported = fault.Code{
		ID:      "REGISTRY_MANIFEST_UNSUPPORTED",
		Meaning: "A manifest is not of a kind that can be copied, though it is what its digest says.",
		Fix:     "push the image in the format of Docker or OCI, or annotate the image stream with openshift.io/skip-image-copy=true",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{
	CodeCredential, CodeUnauthorized, CodeForbidden, CodeFailed, CodeRefused, CodeDamaged, CodeUnsupported,
}

// names are the settings that errors of the network speak of.
var names = endpoint.Settings{
	Address:  "the name of the registry",
	CACert:   "the trusted CA bundle of the cluster",
	Insecure: "set OADP_REGISTRY_INSECURE to \"true\"",
	Server:   "check that the registry runs (oc get clusteroperator image-registry)",
	Busy:     "lower OADP_IMAGE_COPY_IMAGES and OADP_IMAGE_COPY_BLOBS, or raise the limits of the registry",
}

var (
	errAbsent      = fmt.Errorf("the registry does not have it: %w", fs.ErrNotExist)
	errDamaged     = images.ErrDamaged
	errUnsupported = errors.New("it cannot be read")
)

// absent returns errAbsent in place of the registry's answer that something does
// not exist. An answer within the handshake does not say that, nor does one
// without the registry's codes, such as the page of a proxy: what is absent may be
// left out of a backup.
func absent(err error) error {
	answer, ok := err.(*transport.Error)
	if ok && answer.StatusCode == http.StatusNotFound &&
		hasCode(answer, transport.ManifestUnknownErrorCode, transport.BlobUnknownErrorCode, transport.NameUnknownErrorCode) {
		return errAbsent
	}
	return err
}

// what says what failed, for an error.
func (c *Client) what(doing, object, preposition, repository string) string {
	return fmt.Sprintf("error %s %s %s repository %s of registry %s", doing, object, preposition, repository, c.registry.RegistryStr())
}

// explain returns the error of a request for those who can do something about
// it.
func (c *Client) explain(what string, err error) error {
	var (
		known  *fault.Error
		source *sourceError
	)
	switch {
	case errors.As(err, &source):
		return fmt.Errorf("%s: %w", what, source.err) // which may be fs.ErrNotExist
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", what, known) // without the words of HTTP around it
	case errors.Is(err, errAbsent):
		return fmt.Errorf("%s: %w", what, errAbsent)
	}
	code := codeOf(err)
	failure := &fault.Error{Code: code, What: what, Fix: names.Fix(code), Err: plain(err)}
	if host := sender(err); host != "" && host != c.registry.RegistryStr() {
		failure.Fix = "check that Velero's pod reaches " + host + ", where the registry sent it, and trusts its certificate; " +
			"if that is the registry's storage, the registry can be told to stand in between (spec.disableRedirect of configs.imageregistry.operator.openshift.io/cluster)"
	}
	return failure
}

// sender returns the host whose answer, or whose silence, is the error, or "".
func sender(err error) string {
	var (
		answer  *transport.Error
		request *url.Error
	)
	switch {
	case errors.As(err, &answer) && answer.Request != nil:
		return answer.Request.URL.Host
	case errors.As(err, &request):
		if u, err := url.Parse(request.URL); err == nil {
			return u.Host
		}
	}
	return ""
}

func codeOf(err error) fault.Code {
	var answer *transport.Error
	switch {
	case errors.Is(err, errDamaged):
		return CodeDamaged
	case errors.Is(err, errUnsupported):
		return CodeUnsupported
	case errors.Is(err, errCredential):
		return CodeCredential
	case errors.As(err, &answer):
		return answerCode(answer)
	}
	return connectionCode(err)
}

func answerCode(answer *transport.Error) fault.Code {
	switch {
	case answer.Request != nil && answer.Request.Response != nil:
		return CodeFailed // the registry's storage, where a redirection led
	case answer.StatusCode == http.StatusUnauthorized:
		return CodeUnauthorized
	case answer.StatusCode == http.StatusForbidden:
		return CodeForbidden
	case answer.StatusCode == http.StatusTooManyRequests:
		return endpoint.CodeBusy
	case answer.StatusCode >= 500:
		return CodeFailed
	}
	return CodeRefused
}

func connectionCode(err error) fault.Code {
	if endpoint.IsPermanent(err) || endpoint.IsNetwork(err) {
		return endpoint.Code(err)
	}
	return CodeRefused
}

// plain returns err with a short text, in which no URL has a query: those of
// stores carry signatures, those of uploads carry their state. Nor does it repeat
// what a token server has sent.
func plain(err error) error {
	var (
		answer  *transport.Error
		request *url.Error
	)
	switch {
	case errors.As(err, &answer):
		return endpoint.WithText(answerText(answer), err)
	case errors.As(err, &request):
		return endpoint.WithText(plain(request.Err).Error()+" ("+strings.ToUpper(request.Op)+" "+address(request.URL)+")", err)
	case strings.Contains(err.Error(), "no token in bearer response"):
		return endpoint.WithText("the token server sent no token", err)
	}
	return err
}

// maxMessage is how much of a registry's message is repeated, in bytes.
const maxMessage = 300

func answerText(answer *transport.Error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	for _, d := range answer.Errors {
		message := d.Message
		if len(message) > maxMessage {
			message = strings.ToValidUTF8(message[:maxMessage], "") + "..."
		}
		fmt.Fprintf(&b, ", %s: %s", d.Code, message)
	}
	if r := answer.Request; r != nil {
		fmt.Fprintf(&b, " (%s %s)", r.Method, address(r.URL.String()))
	}
	return b.String()
}

// address returns what of a URL may be shown.
func address(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an invalid URL"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
