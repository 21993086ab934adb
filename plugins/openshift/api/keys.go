package api

// Annotations and labels that other programs and other versions of this plugin
// read, too.
const (
	// Where an object was backed up and restored.
	BackupServerVersionKey  = "openshift.io/backup-server-version"
	RestoreServerVersionKey = "openshift.io/restore-server-version"
	BackupRegistryHostKey   = "openshift.io/backup-registry-hostname"
	RestoreRegistryHostKey  = "openshift.io/restore-registry-hostname"

	// Images.
	MigrationRegistryKey = "openshift.io/migration-registry"
	SkipImageCopyKey     = "openshift.io/skip-image-copy"
	DisableImageCopyKey  = "migration.openshift.io/disable-image-copy"
	ImageCopyKey         = "oadp.openshift.io/image-copy"
	RelatedTagKey        = "migration.openshift.io/related-istag"
	RelatedTagNSKey      = "migration.openshift.io/related-istag-ns"
	ImageTriggersKey     = "image.openshift.io/triggers"
	OriginalTriggersKey  = "oadp.openshift.io/original-image-triggers"
	TriggersWaitKey      = "oadp.openshift.io/image-triggers-wait-since"
	PausedTriggersLabel  = "oadp.openshift.io/image-triggers-paused-by"

	// What a deployment config and its pods tell each other.
	PodFixKey             = "oadp.openshift.io/includes-dm-dc-fix"
	PodsHaveHooksKey      = "oadp.openshift.io/has-pod-restore-hooks"
	PodsHaveVolumesKey    = "oadp.openshift.io/pods-have-volumes"
	PodLabelsKey          = "oadp.openshift.io/pod-labels"
	OriginalReplicasKey   = "oadp.openshift.io/original-replicas"
	OriginalPausedKey     = "oadp.openshift.io/original-paused"
	DisconnectedLabel     = "oadp.openshift.io/disconnected-from-dc"
	ReplicasModifiedLabel = "oadp.openshift.io/replicas-modified"
	DeploymentLabel       = "deployment"
	DeploymentConfigLabel = "deploymentconfig"
	PausedOwnerKey        = "openshift.io/paused-owner-ref"

	// Builds.
	BuildNameKey          = "openshift.io/build.name"
	SkipBuildConfigMapKey = "oadp.openshift.io/skip-buildconfig-configmap-restore"

	// Service accounts and their generated secrets.
	PullSecretRefKey   = "openshift.io/internal-registry-pull-secret-ref"
	TokenAccountKey    = "openshift.io/internal-registry-auth-token.service-account"
	AccountNameKey     = "kubernetes.io/service-account.name"
	AccountUIDKey      = "kubernetes.io/service-account.uid"
	CreatedByKey       = "kubernetes.io/created-by"
	ServingCertKey     = "service.alpha.openshift.io/originating-service-name"
	ServingCertBetaKey = "service.beta.openshift.io/originating-service-name"
	HostGeneratedKey   = "openshift.io/host.generated"
	DockercfgCreator   = "openshift.io/create-dockercfg-secrets"
	DockercfgType      = "kubernetes.io/dockercfg"
	AccountTokenType   = "kubernetes.io/service-account-token"

	// Migrations.
	partOfLabel         = "app.kubernetes.io/part-of"
	partOfMigration     = "openshift-migration"
	MigrateTypeKey      = "openshift.io/migrate-type"
	TargetClassKey      = "openshift.io/target-storage-class"
	TargetAccessModeKey = "openshift.io/target-access-mode"
	CopyMethodKey       = "migration.openshift.io/copy-method"
	OriginalPolicyKey   = "migration.openshift.io/orig-reclaim-policy"
	SelectedNodeKey     = "volume.kubernetes.io/selected-node"
	BetaClassKey        = "volume.beta.kubernetes.io/storage-class"
	MigrationTypeKey    = "migration.openshift.io/migmigration-type"
	StagePodImageKey    = "migration.openshift.io/stage-pod-image"
	ExcludeClaimsKey    = "migration.openshift.io/exclude-pvcs"
	StagePodLabel       = "migration-included-stage-backup"
	StageRestoreLabel   = "migration-stage-restore"
)

// Migration reports whether the migration toolkit has made a Backup or Restore
// with those labels. Every other one comes from OADP or from a person.
func Migration(labels map[string]string) bool { return labels[partOfLabel] == partOfMigration }
