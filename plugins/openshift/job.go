package main

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// restoreJob leaves the jobs of cron jobs to be made anew.
func (a *actions) restoreJob(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	if _, owned := fields.Owner(velero.BackedUp(in), "CronJob"); owned {
		return sdk.RestoreResult{Skip: true}, nil
	}
	return a.swapTemplate(ctx, in, "spec", "template", "spec")
}

func (a *actions) restoreCronJob(ctx context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	return a.swapTemplate(ctx, in, "spec", "jobTemplate", "spec", "template", "spec")
}
