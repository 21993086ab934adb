package main

import (
	"context"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// nonAdmin are the requests of users to OADP. Restored, they would be carried
// out once more.
var nonAdmin = []string{
	"nonadminbackups.oadp.openshift.io",
	"nonadminrestores.oadp.openshift.io",
	"nonadminbackupstoragelocations.oadp.openshift.io",
	"nonadmindownloadrequests.oadp.openshift.io",
	"nonadminbackupstoragelocationrequests.oadp.openshift.io",
}

func (a *actions) restoreNonAdmin(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	kind := in.Item.GroupVersionKind()
	return sdk.RestoreResult{Skip: kind.Group == "oadp.openshift.io" && strings.HasPrefix(kind.Kind, "NonAdmin")}, nil
}
