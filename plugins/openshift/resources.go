package main

import "k8s.io/apimachinery/pkg/runtime/schema"

// API groups of OpenShift.
const (
	imageGroup         = "image.openshift.io"
	configGroup        = "config.openshift.io"
	securityGroup      = "security.openshift.io"
	authorizationGroup = "authorization.openshift.io"
	appsGroup          = "apps.openshift.io"
)

// What the actions read from the cluster.
var (
	pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	configMaps      = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	volumes         = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}

	roles               = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}
	roleBindings        = roles.GroupVersion().WithResource("rolebindings")
	clusterRoles        = roles.GroupVersion().WithResource("clusterroles")
	clusterRoleBindings = roles.GroupVersion().WithResource("clusterrolebindings")

	backups                = schema.GroupVersionResource{Group: "velero.io", Version: "v1", Resource: "backups"}
	backupStorageLocations = backups.GroupVersion().WithResource("backupstoragelocations")

	imageStreams               = schema.GroupVersionResource{Group: imageGroup, Version: "v1", Resource: "imagestreams"}
	imageStreamTags            = imageStreams.GroupVersion().WithResource("imagestreamtags")
	deploymentConfigs          = schema.GroupVersionResource{Group: appsGroup, Version: "v1", Resource: "deploymentconfigs"}
	securityContextConstraints = schema.GroupVersionResource{Group: securityGroup, Version: "v1", Resource: "securitycontextconstraints"}
	clusterImageConfigs        = schema.GroupVersionResource{Group: configGroup, Version: "v1", Resource: "images"}
	clusterVersions            = clusterImageConfigs.GroupVersion().WithResource("clusterversions")
	registryConfigs            = schema.GroupVersionResource{Group: "imageregistry.operator.openshift.io", Version: "v1", Resource: "configs"}
)
