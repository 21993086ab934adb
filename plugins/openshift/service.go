package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreService takes the addresses of a load balancer off, which are those of
// the cluster that was backed up.
func (a *actions) restoreService(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if spec := fields.MapAt(in.Item.Object, "spec"); spec["type"] == "LoadBalancer" {
		delete(spec, "externalIPs")
	}
	return sdk.RestoreResult{}, nil
}
