package main

import (
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// This file has every field through which a virtual machine, or an object near
// it, refers to another object. A test walks the types of KubeVirt's and CDI's
// APIs and fails when a field may refer to something and is neither here nor on
// the test's list of fields that do not.

// A reference is one such field. In its path, [] stands for each element of a
// list, for example volumes[].secret.secretName.
type reference struct {
	path string
	to   target
}

// A target is what the value of such a field stands for.
type target func(name string, parent fields.Map) []named

// named is an object that a field refers to. An empty namespace is that of the
// object with the field.
type named struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

// to is the target of a field that has the name of an object in the same
// namespace.
func to(resource schema.GroupVersionResource) target {
	return func(name string, _ fields.Map) []named { return []named{{resource: resource, name: name}} }
}

// toDisk is the target of a field that has the name of a data volume. Its claim
// has the same name.
func toDisk(name string, _ fields.Map) []named {
	return []named{{resource: dataVolumes, name: name}, {resource: claims, name: name}}
}

// toNetwork is the target of a field with a network attachment definition: NAME
// or NAMESPACE/NAME.
func toNetwork(name string, _ fields.Map) []named {
	namespace, rest, found := strings.Cut(name, "/")
	if !found {
		return []named{{resource: networks, name: name}}
	}
	return []named{{resource: networks, namespace: namespace, name: rest}}
}

// toKind is the target of a field with a name, next to one with the kind.
func toKind(name string, parent fields.Map) []named {
	switch fields.TextAt(parent, "kind") {
	case "VirtualMachine":
		return []named{{resource: virtualMachines, name: name}}
	case "VirtualMachineSnapshot":
		return []named{{resource: virtualMachineSnapshots, name: name}}
	case "PersistentVolumeClaim":
		return []named{{resource: claims, name: name}}
	}
	return nil
}

// below returns references in a part of an object.
func below(prefix string, references []reference) []reference {
	all := make([]reference, 0, len(references))
	for _, r := range references {
		all = append(all, reference{prefix + "." + r.path, r.to})
	}
	return all
}

// references has the references of each kind, in the order in which what they
// refer to is backed up.
var references = map[string][]reference{
	"VirtualMachine": slices.Concat(
		[]reference{
			{"status.instancetypeRef.controllerRevisionRef.name", to(controllerRevisions)},
			{"status.preferenceRef.controllerRevisionRef.name", to(controllerRevisions)},
		},
		below("spec", virtualMachineSpec),
		[]reference{
			{"status.volumeRequests[].addVolumeOptions.volumeSource.dataVolume.name", toDisk},
			{"status.volumeRequests[].addVolumeOptions.volumeSource.persistentVolumeClaim.claimName", to(claims)},
			{"status.memoryDumpRequest.claimName", to(claims)},
			{"status.volumeUpdateState.volumeMigrationState.migratedVolumes[].sourcePVCInfo.claimName", to(claims)},
			{"status.volumeUpdateState.volumeMigrationState.migratedVolumes[].destinationPVCInfo.claimName", to(claims)},
		},
	),
	"VirtualMachineInstance": slices.Concat(
		below("spec", instanceSpec),
		[]reference{
			{"status.volumeStatus[].persistentVolumeClaimInfo.claimName", to(claims)},
			{"status.volumeStatus[].memoryDumpVolume.claimName", to(claims)},
			{"status.volumeStatus[].hotplugVolume.attachPodName", to(pods)},
			{"status.migratedVolumes[].sourcePVCInfo.claimName", to(claims)},
			{"status.migratedVolumes[].destinationPVCInfo.claimName", to(claims)},
		},
	),
	"VirtualMachineInstanceReplicaSet": below("spec.template.spec", instanceSpec),
	"VirtualMachinePool":               below("spec.virtualMachineTemplate.spec", virtualMachineSpec),
	"DataVolume":                       below("spec", diskSpec),
	"VirtualMachineExport": {
		{"spec.source.name", toKind},
		{"spec.tokenSecretRef", to(secrets)},
		{"status.tokenSecretRef", to(secrets)},
		{"status.virtualMachineName", to(virtualMachines)},
	},
	"VirtualMachineClone": {
		{"spec.source.name", toKind},
		{"status.snapshotName", to(virtualMachineSnapshots)},
		{"status.restoreName", to(virtualMachineRestores)},
		{"status.targetName", to(virtualMachines)},
	},
}

// virtualMachineSpec are the references of a VirtualMachineSpec.
var virtualMachineSpec = slices.Concat(
	[]reference{
		{"instancetype.revisionName", to(controllerRevisions)},
		{"preference.revisionName", to(controllerRevisions)},
	},
	below("template.spec", instanceSpec),
	below("dataVolumeTemplates[].spec", diskSpec),
)

// instanceSpec are the references of a VirtualMachineInstanceSpec.
var instanceSpec = []reference{
	{"volumes[].dataVolume.name", toDisk},
	{"volumes[].persistentVolumeClaim.claimName", to(claims)},
	{"volumes[].memoryDump.claimName", to(claims)},
	{"volumes[].ephemeral.persistentVolumeClaim.claimName", to(claims)},
	{"volumes[].configMap.name", to(configMaps)},
	{"volumes[].secret.secretName", to(secrets)},
	{"volumes[].serviceAccount.serviceAccountName", to(serviceAccounts)},
	{"volumes[].cloudInitNoCloud.secretRef.name", to(secrets)},
	{"volumes[].cloudInitNoCloud.networkDataSecretRef.name", to(secrets)},
	{"volumes[].cloudInitConfigDrive.secretRef.name", to(secrets)},
	{"volumes[].cloudInitConfigDrive.networkDataSecretRef.name", to(secrets)},
	{"volumes[].sysprep.secret.name", to(secrets)},
	{"volumes[].sysprep.configMap.name", to(configMaps)},
	{"volumes[].containerDisk.imagePullSecret", to(secrets)},
	{"utilityVolumes[].claimName", to(claims)},
	{"accessCredentials[].sshPublicKey.source.secret.secretName", to(secrets)},
	{"accessCredentials[].userPassword.source.secret.secretName", to(secrets)},
	{"networks[].multus.networkName", toNetwork},
	{"domain.firmware.kernelBoot.container.imagePullSecret", to(secrets)},
	{"serviceAccountName", to(serviceAccounts)},
	{"resourceClaims[].resourceClaimName", to(resourceClaims)},
	{"resourceClaims[].resourceClaimTemplateName", to(resourceClaimTemplates)},
}

// diskSpec are the references of a DataVolumeSpec: what an import needs.
var diskSpec = []reference{
	{"source.http.secretRef", to(secrets)},
	{"source.http.secretExtraHeaders[]", to(secrets)},
	{"source.http.certConfigMap", to(configMaps)},
	{"source.s3.secretRef", to(secrets)},
	{"source.s3.certConfigMap", to(configMaps)},
	{"source.gcs.secretRef", to(secrets)},
	{"source.registry.secretRef", to(secrets)},
	{"source.registry.certConfigMap", to(configMaps)},
	{"source.imageio.secretRef", to(secrets)},
	{"source.imageio.certConfigMap", to(configMaps)},
	{"source.vddk.secretRef", to(secrets)},
}

// paths has the references of each kind as a tree, so that the elements of a
// list are visited one by one, each with all of its references.
var paths = func() map[string]*step {
	trees := make(map[string]*step, len(references))
	for kind, all := range references {
		root := &step{}
		for _, r := range all {
			root.add(strings.Split(r.path, "."), r.to)
		}
		trees[kind] = root
	}
	return trees
}()

// A step is a field on the way to a reference.
type step struct {
	field string
	list  bool // each element of the field's value is meant
	next  []*step
	to    target // of the last step
}

func (s *step) add(path []string, to target) {
	if len(path) == 0 {
		s.to = to
		return
	}
	field, list := strings.CutSuffix(path[0], "[]")
	i := slices.IndexFunc(s.next, func(n *step) bool { return n.field == field })
	if i < 0 {
		i = len(s.next)
		s.next = append(s.next, &step{field: field, list: list})
	}
	s.next[i].add(path[1:], to)
}

// visit calls found with all that the fields of an object refer to.
func (s *step) visit(content fields.Map, found func(named)) {
	for _, next := range s.next {
		value := content[next.field]
		if list, ok := value.([]any); ok && next.list {
			for _, element := range list {
				next.value(element, content, found)
			}
			continue
		}
		next.value(value, content, found)
	}
}

func (s *step) value(value any, parent fields.Map, found func(named)) {
	switch v := value.(type) {
	case string:
		if s.to != nil && v != "" {
			for _, n := range s.to(v, parent) {
				found(n)
			}
		}
	case fields.Map:
		s.visit(v, found)
	}
}

// referredTo returns what an object of a kind refers to, each object once.
func referredTo(kind string, content fields.Map) identifiers {
	tree := paths[kind]
	if tree == nil {
		return nil
	}
	namespace := fields.TextAt(content, "metadata", "namespace")
	var all identifiers
	tree.visit(content, func(n named) {
		if n.namespace == "" {
			n.namespace = namespace
		}
		all.add(n.resource, n.namespace, n.name)
	})
	return all
}

// identifiers are objects in the order in which they are backed up or restored.
type identifiers []sdk.ResourceIdentifier

// add appends an object, unless it is there or has no name.
func (l *identifiers) add(resource schema.GroupVersionResource, namespace, name string) {
	id := identify(resource, namespace, name)
	if name != "" && !slices.Contains(*l, id) {
		*l = append(*l, id)
	}
}

func identify(resource schema.GroupVersionResource, namespace, name string) sdk.ResourceIdentifier {
	return sdk.ResourceIdentifier{Group: resource.Group, Resource: resource.Resource, Namespace: namespace, Name: name}
}

// is reports whether an object is of a resource.
func is(id sdk.ResourceIdentifier, resource schema.GroupVersionResource) bool {
	return id.Group == resource.Group && id.Resource == resource.Resource
}
