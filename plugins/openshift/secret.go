package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// restoreSecret leaves out what OpenShift makes: the certificates of services,
// and the pull secrets and tokens of service accounts.
func (a *actions) restoreSecret(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{Skip: isServingCertificate(in.Item) || isGeneratedCredential(in.Item)}, nil
}

func isServingCertificate(secret *unstructured.Unstructured) bool {
	return fields.HasAnnotation(secret, api.ServingCertKey) || fields.HasAnnotation(secret, api.ServingCertBetaKey)
}

func isGeneratedCredential(secret *unstructured.Unstructured) bool {
	switch fields.TextAt(secret.Object, "type") {
	case api.DockercfgType:
		return fields.HasAnnotation(secret, api.TokenAccountKey) || fields.HasAnnotation(secret, api.AccountUIDKey)
	case api.AccountTokenType:
		return fields.Annotation(secret, api.CreatedByKey) == api.DockercfgCreator
	}
	return false
}
