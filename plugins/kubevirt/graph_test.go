package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	clonev1 "kubevirt.io/api/clone/v1beta1"
	kubevirtv1 "kubevirt.io/api/core/v1"
	exportv1 "kubevirt.io/api/export/v1"
	instancetypev1 "kubevirt.io/api/instancetype/v1beta1"
	poolv1 "kubevirt.io/api/pool/v1beta1"
	cdiv1 "kubevirt.io/containerized-data-importer-api/pkg/apis/core/v1beta1"
)

// apiTypes are the kinds whose fields the tables of this file and of the plugin
// have to tell apart. A ControllerRevision holds an instance type or a
// preference.
var apiTypes = []any{
	kubevirtv1.VirtualMachine{}, kubevirtv1.VirtualMachineInstance{}, kubevirtv1.VirtualMachineInstanceReplicaSet{},
	instancetypev1.VirtualMachineInstancetype{}, instancetypev1.VirtualMachineClusterInstancetype{},
	instancetypev1.VirtualMachinePreference{}, instancetypev1.VirtualMachineClusterPreference{},
	poolv1.VirtualMachinePool{}, exportv1.VirtualMachineExport{}, clonev1.VirtualMachineClone{},
	cdiv1.DataVolume{}, corev1.Pod{},
}

// plain has the fields of type string that refer to no object that a backup has
// to hold, by the reason. The first element of a path is a kind; * stands for one
// element, ** for any number of them.
var plain = map[string][]string{
	"settings of the virtual hardware": {
		"**.domain.cpu.**", "**.domain.memory.**", "**.domain.machine.**", "**.domain.chassis.**", "**.domain.features.**",
		"**.domain.launchSecurity.**", "**.domain.firmware.serial", "**.domain.firmware.kernelBoot.kernelArgs",
		"**.domain.firmware.kernelBoot.container.image", "**.domain.firmware.kernelBoot.container.kernelPath",
		"**.domain.firmware.kernelBoot.container.initrdPath",
		"**.domain.devices.disks[].**", "**.domain.devices.watchdog.name", "**.domain.devices.inputs[].name", "**.domain.devices.sound.*",
		"**.domain.devices.video.type", "**.domain.devices.filesystems[].name", "**.spec.architecture", "**.schedulerName",
		"VirtualMachine*Instancetype.spec.cpu.**", "VirtualMachine*Instancetype.spec.memory.hugepages.pageSize", "**.spec.annotations{}",
		"VirtualMachine*Instancetype.spec.launchSecurity.**", "VirtualMachine*Preference.spec.cpu.**", "VirtualMachine*Preference.spec.devices.*",
		"VirtualMachine*Preference.spec.features.**", "VirtualMachine*Preference.spec.machine.preferredMachineType",
		"**.spec.preferredArchitecture", "**.spec.requirements.architecture", "VirtualMachine*Preference.spec.preferredLaunchSecurity.**",
		"VirtualMachineInstance.status.machine.type",
	},
	"names inside of the object itself": {
		"**.domain.firmware.acpi.*", "**.volumes[].name", "**.networks[].name", "**.resourceClaims[].name", "**.utilityVolumes[].name",
		"**.gpus[].claimName|requestName", "**.hostDevices[].claimName|requestName", "**.resourceClaim.claimName|requestName",
		"**.instancetype.inferFromVolume", "**.preference.inferFromVolume",
		"**.volumeRequests[].*.name", "**.volumeRequests[].addVolumeOptions.disk.**", "**.volumeSnapshotStatuses[].name",
		"**.migratedVolumes[].volumeName", "**.volumeStatus[].name", "**.volumeStatus[].target", "**.interfaces[].name",
	},
	"what runs on a node, and devices of nodes": {
		"**.gpus[].name|deviceName|tag", "**.hostDevices[].name|deviceName|tag",
		"**.hostDisk.path", "**.containerPath.path", "**.nodeSelector{}", "**.affinity.**", "**.tolerations[].*",
		"**.topologySpreadConstraints[].*", "**.status.nodeName", "**.status.evacuationNodeName", "**.status.activePods{}",
		"**.nodeSelectorRequirementMatcher[].**", "VirtualMachineInstance.status.selinuxContext",
		"VirtualMachineInstance.status.launcherContainerImageVersion",
	},
	"settings of the guest's network, which name no object": {
		"**.domain.devices.interfaces[].**", "**.pod.vmNetworkCIDR", "**.pod.vmIPv6NetworkCIDR", "**.dnsConfig.**", "**.hostname", "**.subdomain", "**.spec.preferredSubdomain",
		"VirtualMachineInstance.status.interfaces[].**",
	},
	"text for the guest": {
		"**.userData", "**.userDataBase64", "**.networkData", "**.networkDataBase64", "**.volumeLabel", "**.downwardAPI.fields[].**",
		"**.livenessProbe.**", "**.readinessProbe.**", "**.qemuGuestAgent.users[]",
	},
	"images, which nodes and CDI pull from a registry": {
		"**.containerDisk.image", "**.containerDisk.path", "**.source.registry.url", "**.source.registry.imageStream",
		"**.source.registry.platform.architecture", "**.source.vddk.initImageURL",
	},
	"places outside of the cluster": {
		"**.source.http.url", "**.source.http.extraHeaders[]", "**.source.s3.url", "**.source.gcs.url", "**.source.imageio.url",
		"**.source.imageio.diskId", "**.source.vddk.url", "**.source.vddk.uuid", "**.source.vddk.backingFile",
		"**.source.vddk.thumbprint", "**.source.vddk.extraArgs", "**.checkpoints[].*",
	},
	"sources that are copied once; a disk that was filled does not need them, and other disks are often filled from the same one": {
		"**.source.pvc.*", "**.source.snapshot.*", "**.spec.sourceRef.*", "**.dataSource.*", "**.dataSourceRef.*",
	},
	"objects of the whole cluster, which belong to no virtual machine": {
		"**.priorityClassName", "**.storageClassName", "**.preferredStorageClassName", "**.volumeAttributesClassName", "**.pvc.volumeName", "**.storage.volumeName",
	},
	"instance types and preferences themselves; the revision holds all that the machine uses": {
		"**.instancetype.name|kind", "**.preference.name|kind", "VirtualMachine.status.instancetypeRef.*", "VirtualMachine.status.preferenceRef.*",
	},
	"kinds and groups of a reference whose name is in the table": {
		"**.source.apiGroup", "**.source.kind",
	},
	"the target of a clone, which does not exist before it": {
		"VirtualMachineClone.spec.target.*",
	},
	"settings of a clone": {
		"VirtualMachineClone.spec.annotationFilters[]", "VirtualMachineClone.spec.labelFilters[]", "VirtualMachineClone.spec.template.*",
		"VirtualMachineClone.spec.newMacAddresses{}", "VirtualMachineClone.spec.newSMBiosSerial", "VirtualMachineClone.spec.patches[]",
	},
	"what an export offers while it is there": {
		"VirtualMachineExport.status.links.**", "VirtualMachineExport.status.serviceName",
	},
	"the state of work that the restored object does not go on with": {
		"**.conditions[].*", "VirtualMachine.status.snapshotInProgress", "VirtualMachine.status.restoreInProgress",
		"VirtualMachine.status.stateChangeRequests[].data{}", "**.dryRun[]", "**.volumeSnapshotStatuses[].reason",
		"VirtualMachine.status.memoryDumpRequest.fileName", "VirtualMachine.status.memoryDumpRequest.message",
		"**.changedBlockTracking.**", "VirtualMachineInstance.status.reason", "**.volumeStatus[].reason", "**.volumeStatus[].message",
		"**.memoryDumpVolume.targetFileName", "VirtualMachineInstance.status.guestOSInfo.*", "VirtualMachineInstance.status.fsFreezeStatus",
		"**.status.labelSelector",
	},
	"the two ends of a migration, of which the state claim is looked up by its label": {
		"VirtualMachineInstance.status.migrationState.**",
	},
	"a revision that KubeVirt makes anew from the virtual machine": {
		"VirtualMachineInstance.status.virtualMachineRevisionName",
	},
	"the claim that takes the place of the volume's name once the data volume is there": {
		"DataVolume.status.claimName",
	},
	"a pod that KubeVirt makes anew; what it mounts is what its instance names": {
		"Pod.spec.**", "Pod.status.**",
	},
}

// leaves returns the fields of a type that hold text of any form. Types with a
// name of their own, such as DiskBus, are enumerations or UIDs.
func leaves(root reflect.Type) []string {
	var found []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		switch t.Kind() {
		case reflect.Pointer:
			walk(t.Elem(), path)
		case reflect.Slice, reflect.Array:
			walk(t.Elem(), path+"[]")
		case reflect.Map:
			walk(t.Elem(), path+"{}")
		case reflect.String:
			if t == reflect.TypeFor[string]() {
				found = append(found, path)
			}
		case reflect.Struct:
			// Metadata, times, quantities and selectors.
			if strings.Contains(t.PkgPath(), "k8s.io/apimachinery/") {
				return
			}
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
				switch {
				case name == "-":
				case name == "":
					walk(t.Field(i).Type, path)
				default:
					walk(t.Field(i).Type, path+"."+name)
				}
			}
		}
	}
	walk(root, root.Name())
	return found
}

// textFields returns the fields of all types, each with the patterns of plain that
// it is of.
func textFields() map[string][]string {
	patterns := slices.Concat(slices.Collect(maps.Values(plain))...)
	all := map[string][]string{}
	for _, v := range apiTypes {
		for _, path := range leaves(reflect.TypeOf(v)) {
			all[path] = slices.DeleteFunc(slices.Clone(patterns), func(pattern string) bool { return !matchesPath(pattern, path) })
		}
	}
	return all
}

// rows returns the paths of the table, beginning with their kinds.
func rows(references map[string][]reference) map[string]bool {
	all := map[string]bool{}
	for kind, list := range references {
		for _, r := range list {
			all[kind+"."+r.path] = true
		}
	}
	return all
}

// unexplained returns the fields that are in neither table.
func unexplained(fields map[string][]string, rows map[string]bool) []string {
	var found []string
	for path, patterns := range fields {
		if len(patterns) == 0 && !rows[path] {
			found = append(found, path)
		}
	}
	slices.Sort(found)
	return found
}

// matchesPath reports whether a path is of a pattern. Alternatives of an element
// are separated by a bar.
func matchesPath(pattern, path string) bool {
	return matchesElements(strings.Split(pattern, "."), strings.Split(path, "."))
}

func matchesElements(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**":
		return matchesElements(pattern[1:], path) || len(path) > 0 && matchesElements(pattern, path[1:])
	case len(path) == 0:
		return false
	}
	for alternative := range strings.SplitSeq(pattern[0], "|") {
		prefix, suffix, star := strings.Cut(alternative, "*")
		same := alternative == path[0]
		if star {
			same = len(path[0]) >= len(prefix)+len(suffix) && strings.HasPrefix(path[0], prefix) && strings.HasSuffix(path[0], suffix)
		}
		if same {
			return matchesElements(pattern[1:], path[1:])
		}
	}
	return false
}

// A field of the APIs that may refer to an object is in the table, or in the
// list of those that do not.
func TestEveryFieldIsKnown(t *testing.T) {
	fields, rows := textFields(), rows(references)
	for _, path := range unexplained(fields, rows) {
		t.Errorf("%s may refer to an object: add it to references or, with the reason, to plain", path)
	}
	used := map[string]bool{}
	for path, patterns := range fields {
		used[path] = true
		for _, pattern := range patterns {
			used[pattern] = true
		}
	}
	for _, entry := range slices.Concat(slices.Concat(slices.Collect(maps.Values(plain))...), slices.Collect(maps.Keys(rows))) {
		if !used[entry] {
			t.Errorf("%s is no field of the API", entry)
		}
	}
}

// No row can go without TestEveryFieldIsKnown noticing.
func TestEveryReferenceIsNeeded(t *testing.T) {
	fields, all := textFields(), rows(references)
	for row := range all {
		without := maps.Clone(all)
		delete(without, row)
		if found := unexplained(fields, without); !slices.Equal(found, []string{row}) {
			t.Errorf("without %s the test finds %v", row, found)
		}
	}
}

// An object with a value in each field of the table refers to an object through
// each of them.
func TestReferredTo(t *testing.T) {
	for kind, all := range references {
		object := map[string]any{"metadata": map[string]any{"namespace": "shop"}}
		want := 0
		for i, r := range all {
			name := fmt.Sprintf("n%d", i)
			setPath(object, strings.Split(r.path, "."), name)
			want += len(r.to(name, map[string]any{"kind": "VirtualMachine"}))
		}
		if kind == "VirtualMachineExport" || kind == "VirtualMachineClone" {
			setPath(object, []string{"spec", "source", "kind"}, "VirtualMachine")
		}
		found := referredTo(kind, object)
		if len(found) != want {
			t.Errorf("%s: %d objects through %d references: %v", kind, len(found), want, found)
		}
		for _, id := range found {
			if id.Namespace != "shop" || id.Name == "" || id.Resource == "" {
				t.Errorf("%s: %v", kind, id)
			}
		}
	}
}

// setPath sets a field; lists on the way get one element.
func setPath(content map[string]any, path []string, value string) {
	name, list := strings.CutSuffix(path[0], "[]")
	if len(path) == 1 {
		content[name] = value
		if list {
			content[name] = []any{value}
		}
		return
	}
	if content[name] == nil {
		content[name] = map[string]any{}
		if list {
			content[name] = []any{map[string]any{}}
		}
	}
	next := content[name]
	if list {
		next = next.([]any)[0]
	}
	setPath(next.(map[string]any), path[1:], value)
}
