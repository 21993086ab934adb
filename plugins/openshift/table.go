package main

import (
	"sync"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/imagecopy"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// actions has what the actions share. Its methods, the actions, are called
// concurrently.
type actions struct {
	cluster  *kube.Cluster
	settings func() (config.Values, error)
	images   *imagecopy.Images

	registry    *clusterRegistry
	pullSecrets *pullSecrets
	constraints *constraints
	pods        *podLists
	streams     *streamLists

	versions kube.Memo[kube.Version]    // of the API server
	paused   kube.Memo[map[string]bool] // deployment configs of a namespace
	backups  kube.Memo[bool]            // whether the backup of a restore has the volumes of pods
}

func newActions(cluster *kube.Cluster) *actions {
	registry := &clusterRegistry{cluster: cluster}
	a := &actions{
		cluster:     cluster,
		settings:    sync.OnceValues(settings.Read),
		registry:    registry,
		pullSecrets: newPullSecrets(cluster, registry),
		constraints: &constraints{cluster: cluster, registry: registry},
		pods:        &podLists{cluster: cluster},
		streams:     &streamLists{cluster: cluster},
	}
	a.images = imagecopy.New(cluster, func() (config.Values, error) { return a.settings() })
	return a
}

// table is every action under its registered name, which backups refer to and
// whose number gives the order in which Velero runs them.
func (a *actions) table() []action {
	return []action{
		backup("01-common-backup-plugin", a.backupStamp, workloads...),
		restores("01-common-restore-plugin", a.restoreStamp, workloads...),
		backup("02-serviceaccount-backup-plugin", a.backupServiceAccount, "serviceaccounts"),
		related("02-serviceaccount-iba-plugin", a.relatedToServiceAccount, "serviceaccounts"),
		restores("02-serviceaccount-restore-plugin", a.restoreServiceAccount, "serviceaccounts"),
		backup("03-pv-backup-plugin", a.backupVolume, "persistentvolumes"),
		restores("03-pv-restore-plugin", a.restoreVolume, "persistentvolumes"),
		restores("04-pvc-restore-plugin", a.restoreVolumeClaim, "persistentvolumeclaims"),
		backup("04-imagestreamtag-backup-plugin", a.backupImageStreamTag, "imagestreamtags"),
		waiting("04-imagestreamtag-restore-plugin", a.restoreImageStreamTag, a.imageStreamTagsReady, "imagestreamtags"),
		restores("05-route-restore-plugin", a.restoreRoute, "routes"),
		restores("06-build-restore-plugin", skip, "builds"),
		backup("07-pod-backup-plugin", a.backupPod, "pods"),
		restores("07-pod-restore-plugin", a.restorePod, "pods"),
		backup("08-deploymentconfig-backup-plugin", a.backupDeploymentConfig, "deploymentconfigs"),
		restores("08-deploymentconfig-restore-plugin", a.restoreDeploymentConfig, "deploymentconfigs"),
		backup("09-replicationcontroller-backup-plugin", a.backupReplicationController, "replicationcontrollers"),
		restores("09-replicationcontroller-restore-plugin", a.restoreReplicationController, "replicationcontrollers"),
		restores("10-job-restore-plugin", a.restoreJob, "jobs"),
		restores("11-daemonset-restore-plugin", a.restoreWorkload, "daemonsets.apps"),
		restores("12-replicaset-restore-plugin", a.restoreWorkload, "replicasets.apps"),
		restores("13-deployment-restore-plugin", a.restoreWorkload, "deployments.apps"),
		restores("14-statefulset-restore-plugin", a.restoreWorkload, "statefulsets.apps"),
		restores("15-service-restore-plugin", a.restoreService, "services"),
		restores("16-cronjob-restore-plugin", a.restoreCronJob, "cronjobs"),
		restores("17-buildconfig-restore-plugin", a.restoreBuildConfig, "buildconfigs"),
		restores("18-secret-restore-plugin", a.restoreSecret, "secrets"),
		operatingBackup("19-is-backup-plugin", imageStreamBackup{a}, "imagestreams"),
		restores("19-is-restore-plugin", a.restoreImageStream, "imagestreams"),
		restores("20-SCC-restore-plugin", a.restoreConstraint, "securitycontextconstraints"),
		restores("21-role-bindings-restore-plugin", a.restoreRoleBinding,
			"rolebinding.authorization.openshift.io", "rolebindings.rbac.authorization.k8s.io"),
		restores("22-cluster-role-bindings-restore-plugin", a.restoreClusterRoleBinding,
			"clusterrolebinding.authorization.openshift.io", "clusterrolebindings.rbac.authorization.k8s.io"),
		restores("23-imagetag-restore-plugin", skip, "imagetags"),
		restores("24-horizontalpodautoscaler-restore-plugin", a.restoreAutoscaler, "horizontalpodautoscalers"),
		backup("25-configmap-backup-plugin", a.backupConfigMap, "configmaps"),
		restores("25-configmap-restore-plugin", a.restoreConfigMap, "configmaps"),
		restores("26-nonadmin-restore-plugin", a.restoreNonAdmin, nonAdmin...),
		operatingRestore("27-image-trigger-restore-plugin", imageTriggers{a},
			"deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs", "jobs"),
		deletes("28-is-delete-plugin", a.deleteImageStream, "imagestreams"),
	}
}

// workloads are what runs images, or knows of them.
var workloads = []string{
	"pods",
	"imagestreams", "imagestreams.image.openshift.io",
	"imagestreamtags", "imagestreamtags.image.openshift.io",
	"deployments", "deployments.apps", "deployments.extensions",
	"deploymentconfigs", "deploymentconfigs.apps.openshift.io",
	"statefulsets", "statefulsets.apps",
	"daemonsets", "daemonsets.apps", "daemonsets.extensions",
	"replicasets", "replicasets.apps", "replicasets.extensions",
	"replicationcontroller",
	"jobs", "jobs.batch",
	"cronjobs", "cronjobs.batch",
	"buildconfigs", "buildconfigs.build.openshift.io",
}

// register registers the whole table.
func register(p *sdk.Plugin, a *actions) {
	for _, action := range a.table() {
		name := "openshift.io/" + action.name
		switch implementation := action.implementation.(type) {
		case sdk.BackupItemAction:
			p.BackupItemAction(name, func(sdk.Host) (sdk.BackupItemAction, error) { return implementation, nil })
		case sdk.RestoreItemAction:
			p.RestoreItemAction(name, func(sdk.Host) (sdk.RestoreItemAction, error) { return implementation, nil })
		case sdk.DeleteItemAction:
			p.DeleteItemAction(name, func(sdk.Host) (sdk.DeleteItemAction, error) { return implementation, nil })
		case sdk.ItemBlockAction:
			p.ItemBlockAction(name, func(sdk.Host) (sdk.ItemBlockAction, error) { return implementation, nil })
		}
	}
}
