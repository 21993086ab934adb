package main

// Labels and annotations that other programs and other versions of this plugin
// read, too. docs/kubevirt.md explains those that users set.
const (
	// On a Backup and on a Restore. Every value but "false" turns a label on.
	metadataBackupLabel   = "velero.kubevirt.io/metadataBackup"
	runStrategyLabel      = "velero.kubevirt.io/restore-run-strategy"
	clearMACLabel         = "velero.kubevirt.io/clear-mac-address"
	newUUIDLabel          = "velero.kubevirt.io/generate-new-firmware-uuid"
	networkIdentityLabel  = "velero.kubevirt.io/network-identity" // keep or new
	includeGraphLabel     = "velero.kubevirt.io/include-object-graph"
	restoreTransientLabel = "velero.kubevirt.io/restore-transient-objects"

	// On backed-up items, taken off again when they are restored.
	claimUIDLabel            = "velero.kubevirt.io/pvc-uid"
	originalClaimUIDKey      = "velero.kubevirt.io/original-pvc-uid"
	originalSnapshotUIDKey   = "velero.kubevirt.io/original-volumesnapshot-uid"
	machineNameLabel         = "velero.kubevirt.io/vm-name" // shortened if it is longer than 63 characters
	machineUIDLabel          = "velero.kubevirt.io/vm-uid"
	objectGraphKey           = "velero.kubevirt.io/object-graph"
	recordedAddressesKey     = "velero.kubevirt.io/addresses"
	ownedInstanceKey         = "cdi.kubevirt.io/velero.isOwned"
	inProgressKey            = "kvp.kubevirt.io/storage.inprogress"
	prePopulatedKey          = "cdi.kubevirt.io/storage.prePopulated"
	populatedForKey          = "cdi.kubevirt.io/storage.populatedFor"
	mustIncludeOnRestoreKey  = "restore.velero.io/must-include-additional-items"
	populatorKindKey         = "cdi.kubevirt.io/storage.populator.kind"
	excludeLabel             = "velero.io/exclude-from-backup"
	defaultVolumeGroupLabel  = "velero.io/volume-group"
	volumeSnapshotNameKey    = "velero.io/volume-snapshot-name"
	dataUploadNameKey        = "velero.io/data-upload-name"
	otherDataMoverPrefix     = "kubevirt-datamover.io/"
	freezeCommandKey         = "pre.hook.backup.velero.io/command"
	applicationLabel         = "kubevirt.io"
	domainKey                = "kubevirt.io/domain"
	createdByLabel           = "kubevirt.io/created-by"
	addressClaimMachineLabel = "kubevirt.io/vm"
	stateForLabel            = "persistent-state-for"
	requestedAddressesKey    = "network.kubevirt.io/addresses"
)

// Values of applicationLabel on the pods of a virtual machine.
const (
	launcherApplication = "virt-launcher"
	hotplugApplication  = "hotplug-disk"
)

// Values of networkIdentityLabel.
const (
	keepIdentity = "keep"
	newIdentity  = "new"
)

// instanceLabels are those of a VirtualMachineInstance that KubeVirt sets itself
// and refuses from others.
var instanceLabels = []string{
	createdByLabel, "kubevirt.io/migrationJobUID", "kubevirt.io/nodeName",
	"kubevirt.io/migrationTargetNodeName", "kubevirt.io/schedulable", "kubevirt.io/install-strategy",
}

// pinnedAddressKeys are annotations with which a CNI plugin gives a pod the
// addresses that it had. Those of Kube-OVN exist for each network as well, for
// example attachment.shop.ovn.kubernetes.io/mac_address.
var (
	pinnedAddressKeys = []string{
		"cni.projectcalico.org/ipAddrs", "cni.projectcalico.org/ipAddrsNoIpam", "cni.projectcalico.org/hwAddr",
		requestedAddressesKey,
	}
	pinnedAddressSuffixes = []string{".kubernetes.io/mac_address", ".kubernetes.io/ip_address"}
)
