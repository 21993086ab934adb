package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restorePod restores none of the pods of virtual machines, which KubeVirt makes
// anew.
func restorePod(context.Context, sdk.RestoreInput) (sdk.RestoreResult, error) {
	return sdk.RestoreResult{Skip: true}, nil
}
