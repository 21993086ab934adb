package main

import "k8s.io/apimachinery/pkg/runtime/schema"

// API groups of KubeVirt and of what its virtual machines refer to.
const (
	kubevirtGroup  = "kubevirt.io"
	cdiGroup       = "cdi.kubevirt.io"
	poolGroup      = "pool.kubevirt.io"
	cloneGroup     = "clone.kubevirt.io"
	exportGroup    = "export.kubevirt.io"
	snapshotGroup  = "snapshot.kubevirt.io"
	backupGroup    = "backup.kubevirt.io"
	templateGroup  = "template.kubevirt.io"
	networkGroup   = "k8s.cni.cncf.io"
	csiGroup       = "snapshot.storage.k8s.io"
	schedulerGroup = "resource.k8s.io"
)

// The resources that the actions read or refer to, in the versions in which they
// are read.
var (
	pods                = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	claims              = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	secrets             = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps          = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	serviceAccounts     = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	controllerRevisions = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}

	virtualMachines         = schema.GroupVersionResource{Group: kubevirtGroup, Version: "v1", Resource: "virtualmachines"}
	virtualMachineInstances = virtualMachines.GroupVersion().WithResource("virtualmachineinstances")
	virtualMachineSnapshots = schema.GroupVersionResource{Group: snapshotGroup, Version: "v1beta1", Resource: "virtualmachinesnapshots"}
	virtualMachineRestores  = virtualMachineSnapshots.GroupVersion().WithResource("virtualmachinerestores")
	dataVolumes             = schema.GroupVersionResource{Group: cdiGroup, Version: "v1beta1", Resource: "datavolumes"}
	networks                = schema.GroupVersionResource{Group: networkGroup, Version: "v1", Resource: "network-attachment-definitions"}
	addressClaims           = schema.GroupVersionResource{Group: networkGroup, Version: "v1alpha1", Resource: "ipamclaims"}
	resourceClaims          = schema.GroupVersionResource{Group: schedulerGroup, Version: "v1", Resource: "resourceclaims"}
	resourceClaimTemplates  = resourceClaims.GroupVersion().WithResource("resourceclaimtemplates")
)
