package api

import "k8s.io/apimachinery/pkg/runtime/schema"

// API groups of OpenShift.
const (
	ImageGroup         = "image.openshift.io"
	ConfigGroup        = "config.openshift.io"
	SecurityGroup      = "security.openshift.io"
	AuthorizationGroup = "authorization.openshift.io"
	AppsGroup          = "apps.openshift.io"
)

// ImageStreamPage is how many image streams are read at a time. One with a long
// history has a megabyte, and several times that when it is decoded.
const ImageStreamPage = 10

// What the actions read from the cluster.
var (
	Pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	Services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	ConfigMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	ServiceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	Namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	Volumes         = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}

	Roles               = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}
	RoleBindings        = Roles.GroupVersion().WithResource("rolebindings")
	ClusterRoles        = Roles.GroupVersion().WithResource("clusterroles")
	ClusterRoleBindings = Roles.GroupVersion().WithResource("clusterrolebindings")

	Backups                = schema.GroupVersionResource{Group: "velero.io", Version: "v1", Resource: "backups"}
	BackupStorageLocations = Backups.GroupVersion().WithResource("backupstoragelocations")

	ImageStreams               = schema.GroupVersionResource{Group: ImageGroup, Version: "v1", Resource: "imagestreams"}
	ImageStreamTags            = ImageStreams.GroupVersion().WithResource("imagestreamtags")
	DeploymentConfigs          = schema.GroupVersionResource{Group: AppsGroup, Version: "v1", Resource: "deploymentconfigs"}
	SecurityContextConstraints = schema.GroupVersionResource{Group: SecurityGroup, Version: "v1", Resource: "securitycontextconstraints"}
	ClusterImageConfigs        = schema.GroupVersionResource{Group: ConfigGroup, Version: "v1", Resource: "images"}
	ClusterVersions            = ClusterImageConfigs.GroupVersion().WithResource("clusterversions")
	RegistryConfigs            = schema.GroupVersionResource{Group: "imageregistry.operator.openshift.io", Version: "v1", Resource: "configs"}
)
