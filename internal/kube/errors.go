package kube

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Codes of the errors of this package.
var (
	CodeNoConfig = fault.Code{
		ID:      "KUBE_NO_CONFIG",
		Meaning: "The plugin finds no way to the Kubernetes API.",
		Fix:     "let Velero run in a pod with a service account, or set KUBECONFIG for it",
	}
	CodeForbidden = fault.Code{
		ID:      "KUBE_FORBIDDEN",
		Meaning: "The Kubernetes API does not let Velero's service account do what the plugin needs.",
		Fix:     "give the service account of Velero the verb and resource that the error names; OADP binds it to cluster-admin",
	}
	CodeNoToken = fault.Code{
		ID:      "KUBE_NO_TOKEN",
		Meaning: "The plugin reaches the Kubernetes API without a token, for example with a client certificate, and other services of the cluster take nothing else.",
		Fix:     "let Velero run in a pod with a service account, or use a kubeconfig whose user has a token",
	}
	CodeFailed = fault.Code{
		ID:      "KUBE_REQUEST_FAILED",
		Meaning: "A request to the Kubernetes API failed.",
		Fix:     "check that the API server, or the aggregated one behind it, answers, and repeat the backup or restore",
	}
)

// Codes lists the codes of this package.
var Codes = []fault.Code{CodeNoConfig, CodeForbidden, CodeNoToken, CodeFailed}

// failure returns the error of a request that was to do something with objects.
func failure(doing string, resource schema.GroupVersionResource, namespace, name string, err error) error {
	text := doing + " " + resource.GroupResource().String()
	if name != "" {
		text += " " + name
	}
	if namespace != "" {
		text += " in namespace " + namespace
	}
	return coded(text, err)
}

func coded(what string, err error) error {
	code := CodeFailed
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		code = CodeForbidden
	}
	return &fault.Error{Code: code, What: what, Err: err}
}

func noConfig(err error) error {
	return &fault.Error{Code: CodeNoConfig, What: "connecting to the cluster", Err: err}
}

func noToken(err error) error {
	return &fault.Error{Code: CodeNoToken, What: "looking for the token of the client configuration", Err: err}
}

func errVersion(text string) error {
	return &fault.Error{Code: CodeFailed, What: "reading /version", Err: fmt.Errorf("%q is no version", text)}
}
