package main

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"

	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
)

// The page of settings has every setting with its default, and the guide every
// annotation that other programs may look for.
func TestGuide(t *testing.T) {
	page, guide := document(t, "settings"), document(t, "openshift")
	for _, key := range settings.Keys {
		line := "| `" + key.Env + "` | " + cmp.Or(key.Default, "-") + " |"
		if !strings.Contains(page, line) {
			t.Errorf("the page of settings has no line %s", line)
		}
	}
	for _, key := range []string{
		api.SkipImageCopyKey, api.DisableImageCopyKey, api.ImageCopyKey, api.MigrationRegistryKey, api.SkipBuildConfigMapKey, api.DisconnectedLabel, api.ReplicasModifiedLabel,
		api.OriginalReplicasKey, api.OriginalPausedKey, api.PausedTriggersLabel, api.OriginalTriggersKey, api.TriggersWaitKey,
	} {
		if !strings.Contains(guide, "`"+key) {
			t.Errorf("the guide has no %s", key)
		}
	}
}

// document returns a page of docs/.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The names are part of backups and of the order in which Velero runs actions.
func TestTable(t *testing.T) {
	const names = `01-common-backup 01-common-restore 02-serviceaccount-backup 02-serviceaccount-iba 02-serviceaccount-restore 03-pv-backup
03-pv-restore 04-pvc-restore 04-imagestreamtag-backup 04-imagestreamtag-restore 05-route-restore 06-build-restore 07-pod-backup 07-pod-restore
08-deploymentconfig-backup 08-deploymentconfig-restore 09-replicationcontroller-backup 09-replicationcontroller-restore 10-job-restore
11-daemonset-restore 12-replicaset-restore 13-deployment-restore 14-statefulset-restore 15-service-restore 16-cronjob-restore
17-buildconfig-restore 18-secret-restore 19-is-backup 19-is-restore 20-SCC-restore 21-role-bindings-restore 22-cluster-role-bindings-restore
23-imagetag-restore 24-horizontalpodautoscaler-restore 25-configmap-backup 25-configmap-restore 26-nonadmin-restore 27-image-trigger-restore 28-is-delete`
	var got []string
	for _, action := range offline(t).table() {
		got = append(got, strings.TrimSuffix(action.name, "-plugin"))
		selector, err := action.implementation.AppliesTo(t.Context(), sdk.AppliesToInput{})
		if err != nil || len(selector.IncludedResources) == 0 {
			t.Errorf("%s applies to %+v, %v", action.name, selector, err)
		}
	}
	if strings.Join(got, " ") != strings.Join(strings.Fields(names), " ") {
		t.Errorf("the actions are %v", got)
	}
}
