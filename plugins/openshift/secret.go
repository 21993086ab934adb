package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// restoreSecret leaves out what OpenShift makes: the certificates of services,
// and the pull secrets and tokens of service accounts.
func (a *actions) restoreSecret(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{Skip: isServingCertificate(in.Item) || isGeneratedCredential(in.Item)}, nil
}

func isServingCertificate(secret *unstructured.Unstructured) bool {
	return hasAnnotation(secret, servingCertKey) || hasAnnotation(secret, servingCertBetaKey)
}

func isGeneratedCredential(secret *unstructured.Unstructured) bool {
	switch textAt(secret.Object, "type") {
	case dockercfgType:
		return hasAnnotation(secret, tokenAccountKey) || hasAnnotation(secret, accountUIDKey)
	case accountTokenType:
		return annotation(secret, createdByKey) == dockercfgCreator
	}
	return false
}
