package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// callAction calls an action of any form with an item, which is also what was
// backed up, and a Backup or Restore.
func callAction(ctx context.Context, implementation sdk.Applier, item *unstructured.Unstructured, owner json.RawMessage) error {
	raw, err := json.Marshal(item.Object)
	if err != nil {
		return err
	}
	switch a := implementation.(type) {
	case sdk.BackupItemAction:
		_, err = a.Backup(ctx, sdk.BackupInput{Item: item, Backup: sdk.NewBackup(owner)})
	case sdk.RestoreItemAction:
		_, err = a.Restore(ctx, sdk.RestoreInput{Item: item, FromBackup: sdk.NewDocument(raw), Restore: sdk.NewRestore(owner)})
	case sdk.DeleteItemAction:
		_, err = a.Delete(ctx, sdk.DeleteInput{Item: item, Backup: sdk.NewBackup(owner)})
	case sdk.ItemBlockAction:
		_, err = a.RelatedItems(ctx, sdk.RelatedItemsInput{Item: item, Backup: sdk.NewBackup(owner)})
	}
	return err
}

// FuzzActions feeds every action with any item, any Backup or Restore and any
// answer of the cluster: none of it may panic, and what comes out still is an
// object of its kind.
func FuzzActions(f *testing.F) {
	f.Setenv("OPENSHIFT_IMAGESTREAM_BACKUP", "true")
	f.Setenv("OPENSHIFT_ROUTE_DOMAINS", "old=new")
	f.Setenv("OPENSHIFT_PAUSE_IMAGE_TRIGGERS", "all")
	const migration = `{"metadata": {"name": "m", "namespace": "v", "labels": {"app.kubernetes.io/part-of": "openshift-migration", "migration-stage-restore": "x"},
"annotations": {"migration.openshift.io/migmigration-type": "stage", "migration.openshift.io/stage-pod-image": "s", "openshift.io/migration-registry": "r"}},
"spec": {"backupName": "b", "namespaceMapping": {"shop": "copy"}, "hooks": {"resources": [{"labelSelector": {"matchLabels": {"a": "b"}}, "postHooks": [{"exec": {}}]}]}}}`
	const groups = `{"groups": [{"name": "image.openshift.io"}, {"name": "config.openshift.io"}, {"name": "security.openshift.io"}], "major": "1", "minor": "31",
"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "builder-dockercfg-a", "annotations": {"kubernetes.io/service-account.name": "a"}},
"users": ["system:serviceaccount:shop:app"], "status": {"tags": [{"tag": "v1", "items": [{"image": "i"}]}], "dockerImageRepository": "old/a"}, "spec": {"paused": true}}]}`
	for _, item := range seeds() {
		f.Add(item, migration, groups)
		f.Add(item, `{"metadata": {"name": "b"}}`, `{}`)
	}
	f.Add(`{"kind": "Any", "metadata": 7, "spec": []}`, `null`, `[`)
	f.Fuzz(func(t *testing.T, item, owner, answer string) {
		decoded, err := sdk.NewDocument([]byte(item)).Object()
		if err != nil || decoded.GetKind() == "" {
			return
		}
		a := newActions(answering(answer))
		a.pullSecrets.waitTime = time.Millisecond
		for _, action := range a.table() {
			object := decoded.DeepCopy()
			_ = callAction(t.Context(), action.implementation, object, json.RawMessage(owner)) // an error is an answer
			if object.GetKind() != decoded.GetKind() {
				t.Fatalf("%s makes the kind %q of %q", action.name, object.GetKind(), decoded.GetKind())
			}
			if _, err := json.Marshal(object.Object); err != nil {
				t.Fatalf("%s: %v", action.name, err)
			}
		}
	})
}

func FuzzTriggers(f *testing.F) {
	f.Add(pausedTrigger, webTrigger)
	f.Add(`[{"from":{},"paused":true},{"from":[1]}]`, `[{"from":{}}]`)
	f.Add(`[null,{}]`, `[7]`)
	f.Fuzz(func(t *testing.T, current, original string) {
		text, changed := resumed(current, original)
		if !changed {
			return
		}
		if _, err := parseTriggers(text); err != nil {
			t.Fatalf("%q becomes %q: %v", current, text, err)
		}
	})
}

// seeds are items that make the actions do all that they can.
func seeds() []string {
	return []string{
		`{"kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "labels": {"deployment": "d", "deploymentconfig": "d", "migration-included-stage-backup": "x"},
"annotations": {"openshift.io/backup-registry-hostname": "old", "openshift.io/restore-registry-hostname": "new"}},
"spec": {"nodeSelector": {}, "containers": [{"image": "old/shop/a", "volumeMounts": [{"name": "v"}]}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}], "imagePullSecrets": [{"name": "default-dockercfg-a"}]}}`,
		`{"kind": "Pod", "metadata": {"annotations": {"openshift.io/build.name": "b"}}, "spec": {"volumes": [{"name": "buildworkdir"}]}}`,
		`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "shop", "annotations": {"image.openshift.io/triggers": "[{\"from\":{\"namespace\":\"shop\"}}]"}}, "spec": {"template": {"spec": {"volumes": [{"name": "v"}]}}}}`,
		`{"kind": "DeploymentConfig", "metadata": {"annotations": {"oadp.openshift.io/includes-dm-dc-fix": "true", "oadp.openshift.io/pod-labels": "a=b"}}, "spec": {"replicas": 2, "selector": {"a": "b"}, "triggers": [{"imageChangeParams": {"from": {"namespace": "shop"}}}]}}`,
		`{"kind": "BuildConfig", "metadata": {"namespace": "shop"}, "spec": {"output": {"pushSecret": {"name": "builder-dockercfg-a"}, "to": {"kind": "DockerImage", "name": "old/a"}}, "strategy": {"sourceStrategy": {"from": {"kind": "ImageStreamTag", "namespace": "shop"}}}, "source": {"images": [{"from": {}}]}, "triggers": [{"imageChange": {"from": {}}}]}}`,
		`{"kind": "ImageStream", "metadata": {"annotations": {"openshift.io/backup-registry-hostname": "old"}}, "spec": {"tags": []}, "status": {"tags": [{"items": [{"dockerImageReference": "old/a/b"}]}]}}`,
		fmt.Sprintf(`{"kind": "ImageStream", "metadata": {"name": "app", "namespace": "shop", "annotations": {"openshift.io/backup-registry-hostname": "old", "openshift.io/restore-registry-hostname": "new",
"openshift.io/migration-registry": "bsl://", "oadp.openshift.io/image-copy": "{\"owner\": \"o\", \"converted\": {\"a\": \"b\"}}"}},
"spec": {"tags": [{"name": "v2", "from": {"kind": "ImageStreamTag", "name": "app:v1"}}]}, "status": {"tags": [{"tag": "v1", "items": [{"image": %[1]q, "dockerImageReference": "old/shop/app@%[1]s"}]}]}}`, digestOf("a")),
		`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "shop", "annotations": {"openshift.io/backup-registry-hostname": "old", "openshift.io/restore-registry-hostname": "new"}}, "spec": {"template": {"spec": {"containers": [{"image": "old/shop/app@sha256:a"}]}}}}`,
		`{"kind": "ImageStreamTag", "metadata": {"name": "a:b", "namespace": "shop", "annotations": {"migration.openshift.io/related-istag": "a:v1"}}, "tag": {"from": {"kind": "ImageStreamImage", "name": "a@i"}}, "image": {"dockerImageReference": "old/a"}}`,
		`{"kind": "ServiceAccount", "metadata": {"name": "app", "namespace": "shop", "annotations": {"openshift.io/internal-registry-pull-secret-ref": "x"}}, "secrets": [{"name": "x"}, 1], "imagePullSecrets": [{"name": "app-dockercfg-1"}]}`,
		`{"kind": "SecurityContextConstraints", "metadata": {"name": "a"}, "users": ["system:serviceaccount:shop:app", 1], "groups": ["system:serviceaccounts:shop"]}`,
		`{"kind": "RoleBinding", "metadata": {"name": "a"}, "roleRef": {"namespace": "shop"}, "subjects": [{"kind": "User", "name": "system:serviceaccount:shop:app"}], "userNames": ["a"], "groupNames": {}}`,
		`{"kind": "PersistentVolumeClaim", "metadata": {"annotations": {"openshift.io/migrate-type": "copy", "migration.openshift.io/copy-method": "snapshot", "volume.kubernetes.io/selected-node": "a"}}, "spec": {"selector": {}}}`,
		`{"kind": "ConfigMap", "metadata": {"name": "a-ca", "ownerReferences": [{"kind": "Pod", "name": "a-build"}]}}`,
		`{"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": {"kind": "DeploymentConfig", "apiVersion": "v1"}}}`,
		`{"kind": "ReplicationController", "metadata": {"ownerReferences": [{"kind": "DeploymentConfig", "name": "d"}]}}`,
		`{"kind": "Route", "spec": {"host": "a.old"}}`,
		`{"kind": "Any", "metadata": {"annotations": {"a": 1}, "labels": "x", "ownerReferences": {}}, "spec": {"template": [], "triggers": "x", "volumes": {}}}`,
	}
}

// answering is a cluster with one answer to every request.
func answering(answer string) *kube.Cluster {
	return kube.New(func() (*rest.Config, error) {
		return &rest.Config{Host: "http://cluster", QPS: -1, Transport: recorder.Answering(answer)}, nil
	})
}
