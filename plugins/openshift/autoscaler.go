package main

import (
	"context"
	"fmt"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// restoreAutoscaler names the group of a deployment config, which OpenShift once
// did without.
func (a *actions) restoreAutoscaler(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	target := fields.MapAt(in.Item.Object, "spec", "scaleTargetRef")
	version, err := schema.ParseGroupVersion(fields.TextAt(target, "apiVersion"))
	if err != nil {
		return sdk.RestoreResult{}, fmt.Errorf("spec.scaleTargetRef.apiVersion: %w", err)
	}
	if fields.TextAt(target, "kind") == kindDeploymentConfig && version == (schema.GroupVersion{Version: "v1"}) {
		target["apiVersion"] = api.DeploymentConfigs.GroupVersion().String()
	}
	return sdk.RestoreResult{}, nil
}
