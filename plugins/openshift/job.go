package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreJob leaves the jobs of cron jobs to be made anew.
func (a *actions) restoreJob(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if _, owned := owner(backedUp(in), "CronJob"); owned {
		return sdk.RestoreResult{Skip: true}, nil
	}
	return swapTemplate(in, "spec", "template", "spec")
}

func (a *actions) restoreCronJob(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return swapTemplate(in, "spec", "jobTemplate", "spec", "template", "spec")
}
