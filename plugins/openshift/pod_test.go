package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func TestPodBackup(t *testing.T) {
	for _, c := range []struct{ what, item, want string }{
		{"plain", "{kind: Pod, spec: {volumes: [{name: buildworkdir, emptyDir: {}}]}}",
			`{kind: Pod, metadata: {annotations: {oadp.openshift.io/includes-dm-dc-fix: "true"}}, spec: {volumes: [{name: buildworkdir, emptyDir: {}}]}}`},
		{"build", `{kind: Pod, metadata: {annotations: {openshift.io/build.name: b, backup.velero.io/backup-volumes-excludes: "x,buildworkdir"}}, spec: {volumes: [{name: buildworkdir}, {name: container-storage-root}, {name: mine}]}}`,
			`{kind: Pod, metadata: {annotations: {oadp.openshift.io/includes-dm-dc-fix: "true", openshift.io/build.name: b, backup.velero.io/backup-volumes-excludes: "x,buildworkdir,container-storage-root"}}, spec: {volumes: [{name: buildworkdir}, {name: container-storage-root}, {name: mine}]}}`},
		{"no build", "{kind: Pod, metadata: {annotations: {openshift.io/build.name: ''}}, spec: {volumes: [{name: buildworkdir}]}}",
			`{kind: Pod, metadata: {annotations: {oadp.openshift.io/includes-dm-dc-fix: "true", openshift.io/build.name: ''}}, spec: {volumes: [{name: buildworkdir}]}}`},
		{"odd metadata", "{kind: Pod, metadata: 7}", "{kind: Pod, metadata: 7}"},
		{"odd annotations", "{kind: Pod, metadata: {annotations: [1]}}", "{kind: Pod, metadata: {annotations: [1]}}"},
	} {
		got, _, err := backUp(t, offline(t), "07-pod-backup", c.item, "")
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		fieldstest.Equal(t, c.what, got, fieldstest.Object(t, c.want))
	}
}

// pod is a pod with that metadata and spec.
func pod(metadata, spec string) string {
	return "{kind: Pod, metadata: {name: p, namespace: shop" + metadata + "}, spec: {containers: [{name: a, image: a}]" + spec + "}}"
}

const (
	ownedByReplicaSet = ", ownerReferences: [{kind: ReplicaSet, name: o}]"
	someVolume        = ", volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]"
	commandHook       = `, annotations: {post.hook.restore.velero.io/command: "x"}`
)

// A pod that its owner makes anew is left to it, unless volumes or hooks need
// the pod of the backup.
func TestPodRestore(t *testing.T) {
	restoreCases(t, offline(t), "07-pod-restore", []restoreCase{
		{what: "no owner", item: pod("", "")},
		{what: "node selector", item: pod("", ", nodeSelector: {a: b}"), want: pod("", "")},
		{what: "owner", item: pod("", ""), backup: pod(ownedByReplicaSet, ""), skip: true},
		{what: "owner, volumes", item: pod("", someVolume), backup: pod(ownedByReplicaSet, someVolume)},
		{what: "owner, command", item: pod(commandHook, ""), backup: pod(ownedByReplicaSet, "")},
		{what: "owner, empty command", item: pod(strings.Replace(commandHook, "x", "", 1), ""), backup: pod(ownedByReplicaSet, "")},
		{what: "owner, init container", item: pod(", annotations: {init.hook.restore.velero.io/container-image: a}", ""), backup: pod(ownedByReplicaSet, "")},
		{what: "build", item: pod("", someVolume), backup: pod(", annotations: {openshift.io/build.name: b}", ""), skip: true},
		{what: "no build", item: pod("", someVolume), backup: pod(", annotations: {openshift.io/build.name: ''}", "")},
		{what: "empty pull secret", item: pod("", ", imagePullSecrets: [{}, {name: mine}]")},
		{what: "no spec", item: "kind: Pod"},
	})
	for _, c := range []struct {
		hook string
		runs bool
	}{
		{"postHooks: [{exec: {command: [a]}}]", true},
		{"postHooks: [{init: {initContainers: []}}]", true},
		{"postHooks: []", false},
		{"includedNamespaces: [shop], postHooks: [{exec: {}}]", true},
		{"includedNamespaces: [copy], postHooks: [{exec: {}}]", true},
		{"includedNamespaces: ['sh*'], postHooks: [{exec: {}}]", true},
		{"includedNamespaces: ['{shop,b}'], postHooks: [{exec: {}}]", true},
		{"includedNamespaces: ['{app,b}'], postHooks: [{exec: {}}]", false},
		{"includedNamespaces: ['[!a]hop'], postHooks: [{exec: {}}]", true},
		{"includedNamespaces: ['[!sc]*'], postHooks: [{exec: {}}]", false},
		{"excludedNamespaces: ['{shop,b}'], postHooks: [{exec: {}}]", false},
		{"includedNamespaces: [other], postHooks: [{exec: {}}]", false},
		{"excludedNamespaces: [shop], postHooks: [{exec: {}}]", false},
		{"includedResources: [pods], postHooks: [{exec: {execTimeout: 1m}}]", true},
		{"includedResources: [secrets], postHooks: [{exec: {}}]", false},
		{"labelSelector: {matchLabels: {app: x}}, postHooks: [{exec: {}}]", true},
		{"labelSelector: {matchLabels: {app: z}}, postHooks: [{exec: {}}]", false},
		{"labelSelector: {matchExpressions: [{key: app, operator: Odd}]}, postHooks: [{exec: {}}]", false},
	} {
		restoreCases(t, offline(t), "07-pod-restore", []restoreCase{{
			what: c.hook, item: pod(", labels: {app: x}", ""), backup: pod(ownedByReplicaSet, ""), skip: !c.runs,
			restore: "{metadata: {name: r}, spec: {namespaceMapping: {shop: copy}, hooks: {resources: [{" + c.hook + "}]}}}",
		}})
	}
}

func TestVolumesWithData(t *testing.T) {
	for volumes, want := range map[string]bool{
		"[]":                           false,
		"[{name: a, configMap: {}}]":   false,
		"[{name: a, secret: {}}]":      false,
		"[{name: a, hostPath: {}}]":    false,
		"[{name: a, projected: {}}]":   false,
		"[{name: a, downwardAPI: {}}]": false,
		"[{name: default-token-abc}]":  false,
		"[7, {name: a, emptyDir: {}}]": true,
		"[{name: a, nfs: {}}]":         true,
		"[{name: a, configMap: {}}, {name: b, persistentVolumeClaim: {}}]": true,
	} {
		if got := hasVolumes(fieldstest.Object(t, "volumes: "+volumes).Object); got != want {
			t.Errorf("%s: %t", volumes, got)
		}
	}
}

// The pod is cut off from its deployment config exactly when that is restored
// without replicas, for backups with and without facts about it.
func TestDetachedPodsAndConfigsAgree(t *testing.T) {
	for _, fix := range []bool{true, false} {
		for _, volumes := range []bool{true, false} {
			for _, hooks := range []string{"none", "annotation", "restore"} {
				for _, byFiles := range []bool{true, false} {
					t.Run(fmt.Sprintf("fix=%t,volumes=%t,hooks=%s,files=%t", fix, volumes, hooks, byFiles), func(t *testing.T) {
						checkDetach(t, fix, volumes, hooks, byFiles)
					})
				}
			}
		}
	}
}

func checkDetach(t *testing.T, fix, volumes bool, hooks string, byFiles bool) {
	a := actionsAt(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/velero.io/v1/namespaces/velero/backups/b" || fix {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apiVersion": "velero.io/v1", "kind": "Backup", "spec": {"defaultVolumesToFsBackup": %t}}`, byFiles)
	}))
	restore := "{metadata: {name: r, namespace: velero}, spec: {backupName: b}}"
	if hooks == "restore" {
		restore = "{metadata: {name: r, namespace: velero}, spec: {backupName: b, hooks: {resources: [{labelSelector: {matchLabels: {app: x}}, postHooks: [{exec: {}}]}]}}}"
	}
	annotations, facts := "a: b", "a: b"
	if hooks == "annotation" {
		annotations += ", post.hook.restore.velero.io/command: x"
	}
	if fix {
		annotations += `, oadp.openshift.io/includes-dm-dc-fix: "true"`
		facts += fmt.Sprintf(`, oadp.openshift.io/includes-dm-dc-fix: "true", oadp.openshift.io/pods-have-volumes: "%t", oadp.openshift.io/has-pod-restore-hooks: "%t", oadp.openshift.io/pod-labels: "app=x,deployment=d-1"`,
			volumes, hooks == "annotation")
	}
	spec := ""
	if volumes {
		spec = someVolume
	}
	in := func(item string, backup string) sdk.RestoreInput {
		return sdk.RestoreInput{Item: fieldstest.Object(t, item), FromBackup: sdk.NewDocument(fieldstest.JSON(t, backup)), Restore: sdk.NewRestore(fieldstest.JSON(t, restore))}
	}
	p := in(pod(", labels: {app: x, deployment: d-1, deploymentconfig: d}, annotations: {"+annotations+"}", spec), pod(", ownerReferences: [{kind: ReplicationController}]", ""))
	config := in("{kind: DeploymentConfig, metadata: {name: d, namespace: shop, annotations: {"+facts+"}}, spec: {replicas: 3, paused: true}}", "kind: DeploymentConfig")
	podResult, podErr := find[sdk.RestoreItemAction](t, a, "07-pod-restore").Restore(context.Background(), p)
	_, configErr := find[sdk.RestoreItemAction](t, a, "08-deploymentconfig-restore").Restore(context.Background(), config)
	if podErr != nil || configErr != nil {
		t.Fatal(podErr, configErr)
	}
	detached := fields.Label(p.Item, api.DisconnectedLabel) == "r" && fields.Label(p.Item, api.DeploymentLabel) == "" && fields.Label(p.Item, api.DeploymentConfigLabel) == ""
	scaled := fields.Label(config.Item, api.ReplicasModifiedLabel) == "r" && fields.At(config.Item.Object, "spec", "replicas") == int64(0) &&
		fields.At(config.Item.Object, "spec", "paused") == false && fields.Annotation(config.Item, api.OriginalReplicasKey) == "3" && fields.Annotation(config.Item, api.OriginalPausedKey) == "true"
	needed := volumes || hooks != "none"
	want := needed
	if !fix {
		want = byFiles
	}
	if podResult.Skip == needed {
		t.Errorf("pod skipped: %t", podResult.Skip)
	}
	if needed && detached != want || scaled != want {
		t.Errorf("pod detached: %t, deployment config without replicas: %t, want %t", detached, scaled, want)
	}
}

// What is to be left out of a stage pod is named by the pod's volumes, whatever
// the name of the annotation.
func TestStagePod(t *testing.T) {
	const restore = "{metadata: {name: r, annotations: {migration.openshift.io/stage-pod-image: sleeper}}}"
	const item = `{kind: Pod, metadata: {name: p, labels: {migration-included-stage-backup: x}, annotations: {migration.openshift.io/exclude-pvcs: "two,c1"}}, spec: {
containers: [{name: a, image: a, command: [x], env: [1], volumeMounts: [{name: one}, {name: two}, {name: map}]}],
volumes: [{name: one, persistentVolumeClaim: {claimName: c1}}, {name: two, persistentVolumeClaim: {claimName: c2}}, {name: map, configMap: {}}]}}`
	restoreCases(t, offline(t), "07-pod-restore", []restoreCase{
		{what: "stage", restore: restore, item: item, want: `{kind: Pod, metadata: {name: p, labels: {migration-included-stage-backup: x}, annotations: {migration.openshift.io/exclude-pvcs: "two,c1"}}, spec: {
containers: [{name: a, image: sleeper, command: [sleep], args: [infinity], env: [1], volumeMounts: [{name: one}]}],
volumes: [{name: one, persistentVolumeClaim: {claimName: c1}}]}}`},
		{what: "no stage image", restore: "{metadata: {name: r}}", item: item},
		{what: "no stage pod", restore: restore, item: strings.Replace(item, "migration-included", "other", 1)},
	})
}

func TestDeploymentConfigTriggers(t *testing.T) {
	item := func(one, two string) string {
		return `{kind: DeploymentConfig, metadata: {name: d, namespace: shop}, spec: {replicas: 1, triggers: [{type: ConfigChange}, 7,
{imageChangeParams: {from: {kind: ImageStreamTag, name: "a:b", namespace: ` + one + `}}}, {imageChangeParams: {from: {name: x, namespace: ` + two + `}}}, {imageChangeParams: {from: {name: x}}}]}}`
	}
	const restore = "{metadata: {name: r, namespace: velero}, spec: {namespaceMapping: {shop: copy, tools: tools-copy}}}"
	a := actionsAt(t, http.NotFoundHandler()) // the backup of the restore is gone
	restoreCases(t, a, "08-deploymentconfig-restore", []restoreCase{
		{what: "namespaces of triggers", restore: restore, item: item("shop", "tools"), want: item("copy", "tools-copy")},
		{what: "other namespaces", restore: restore, item: item("other", "openshift")},
		{what: "no spec", restore: restore, item: "kind: DeploymentConfig"},
	})
}
