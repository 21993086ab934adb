package main

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/velero"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A build gets config maps of its own, which hold certificates of the cluster.
// In another cluster they would break the build of the same name.

// backupConfigMap marks the config maps of builds.
func (a *actions) backupConfigMap(ctx context.Context, item *unstructured.Unstructured, b sdk.Backup) (sdk.BackupResult, error) {
	name := item.GetName()
	owners := slices.Collect(fields.Owners(item, "Pod"))
	if len(owners) == 0 || !strings.HasSuffix(name, "ca") && !strings.HasSuffix(name, "sys-config") || fields.HasAnnotation(item, api.SkipBuildConfigMapKey) {
		return sdk.BackupResult{}, nil
	}
	t, err := velero.BackupOf(b)
	if err != nil {
		return sdk.BackupResult{}, err
	}
	all, err := a.pods.in(ctx, &t.Task, item.GetNamespace())
	if err != nil {
		slog.Warn("the owner of a config map cannot be read and counts as no build", "item", fields.Describe(item), "error", err)
	}
	if slices.ContainsFunc(all, func(p podFacts) bool { return p.build && slices.Contains(owners, p.name) }) {
		fields.Annotate(item, api.SkipBuildConfigMapKey, "true")
	}
	return sdk.BackupResult{}, nil
}

// restoreConfigMap leaves out the marked ones and, as old backups have no marks,
// those that look like them.
func (a *actions) restoreConfigMap(_ context.Context, in sdk.RestoreInput) (sdk.RestoreResult, error) {
	marked, err := strconv.ParseBool(fields.Annotation(in.Item, api.SkipBuildConfigMapKey))
	if err != nil {
		marked = ofBuild(velero.BackedUp(in))
	}
	return sdk.RestoreResult{Skip: marked}, nil
}

// buildConfigMaps is what the names of the config maps of a build end in.
var buildConfigMaps = []string{"-ca", "-global-ca", "-sys-config"}

// ofBuild reports whether a config map has the name and the owner of one that a
// build was given.
func ofBuild(configMap *unstructured.Unstructured) bool {
	for pod := range fields.Owners(configMap, "Pod") {
		build, ok := strings.CutSuffix(pod, "-build")
		suffix, named := strings.CutPrefix(configMap.GetName(), build)
		if ok && named && build != "" && slices.Contains(buildConfigMaps, suffix) {
			return true
		}
	}
	return false
}
