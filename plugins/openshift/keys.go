package main

// Annotations and labels that other programs and other versions of this plugin
// read, too.
const (
	// Where an object was backed up and restored.
	backupServerVersionKey  = "openshift.io/backup-server-version"
	restoreServerVersionKey = "openshift.io/restore-server-version"
	backupRegistryHostKey   = "openshift.io/backup-registry-hostname"
	restoreRegistryHostKey  = "openshift.io/restore-registry-hostname"

	// Images.
	migrationRegistryKey = "openshift.io/migration-registry"
	skipImageCopyKey     = "openshift.io/skip-image-copy"
	disableImageCopyKey  = "migration.openshift.io/disable-image-copy"
	imageCopyKey         = "oadp.openshift.io/image-copy"
	relatedTagKey        = "migration.openshift.io/related-istag"
	relatedTagNSKey      = "migration.openshift.io/related-istag-ns"
	imageTriggersKey     = "image.openshift.io/triggers"
	originalTriggersKey  = "oadp.openshift.io/original-image-triggers"
	triggersWaitKey      = "oadp.openshift.io/image-triggers-wait-since"
	pausedTriggersLabel  = "oadp.openshift.io/image-triggers-paused-by"

	// What a deployment config and its pods tell each other.
	podFixKey             = "oadp.openshift.io/includes-dm-dc-fix"
	podsHaveHooksKey      = "oadp.openshift.io/has-pod-restore-hooks"
	podsHaveVolumesKey    = "oadp.openshift.io/pods-have-volumes"
	podLabelsKey          = "oadp.openshift.io/pod-labels"
	originalReplicasKey   = "oadp.openshift.io/original-replicas"
	originalPausedKey     = "oadp.openshift.io/original-paused"
	disconnectedLabel     = "oadp.openshift.io/disconnected-from-dc"
	replicasModifiedLabel = "oadp.openshift.io/replicas-modified"
	deploymentLabel       = "deployment"
	deploymentConfigLabel = "deploymentconfig"
	pausedOwnerKey        = "openshift.io/paused-owner-ref"

	// Builds.
	buildNameKey          = "openshift.io/build.name"
	skipBuildConfigMapKey = "oadp.openshift.io/skip-buildconfig-configmap-restore"

	// Service accounts and their generated secrets.
	pullSecretRefKey   = "openshift.io/internal-registry-pull-secret-ref"
	tokenAccountKey    = "openshift.io/internal-registry-auth-token.service-account"
	accountNameKey     = "kubernetes.io/service-account.name"
	accountUIDKey      = "kubernetes.io/service-account.uid"
	createdByKey       = "kubernetes.io/created-by"
	servingCertKey     = "service.alpha.openshift.io/originating-service-name"
	servingCertBetaKey = "service.beta.openshift.io/originating-service-name"
	hostGeneratedKey   = "openshift.io/host.generated"
	dockercfgCreator   = "openshift.io/create-dockercfg-secrets"
	dockercfgType      = "kubernetes.io/dockercfg"
	accountTokenType   = "kubernetes.io/service-account-token"

	// Migrations.
	partOfLabel          = "app.kubernetes.io/part-of"
	partOfMigration      = "openshift-migration"
	migrateTypeKey       = "openshift.io/migrate-type"
	targetClassKey       = "openshift.io/target-storage-class"
	targetAccessModeKey  = "openshift.io/target-access-mode"
	copyMethodKey        = "migration.openshift.io/copy-method"
	originalPolicyKey    = "migration.openshift.io/orig-reclaim-policy"
	selectedNodeKey      = "volume.kubernetes.io/selected-node"
	betaClassKey         = "volume.beta.kubernetes.io/storage-class"
	migrationTypeKey     = "migration.openshift.io/migmigration-type"
	stagePodImageKey     = "migration.openshift.io/stage-pod-image"
	excludeClaimsKey     = "migration.openshift.io/exclude-pvcs"
	stagePodLabel        = "migration-included-stage-backup"
	stageRestoreLabel    = "migration-stage-restore"
	volumesExcludesKey   = "backup.velero.io/backup-volumes-excludes"
	excludeLabel         = "velero.io/exclude-from-backup"
	veleroBackupLabel    = "velero.io/backup-name"
	veleroRestoreLabel   = "velero.io/restore-name"
	postHookCommandKey   = "post.hook.restore.velero.io/command"
	postHookTimeoutKey   = "post.hook.restore.velero.io/exec-timeout"
	postHookContainerKey = "post.hook.restore.velero.io/container"
	initHookImageKey     = "init.hook.restore.velero.io/container-image"
)
