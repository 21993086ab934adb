// Package kubevirt stands in for KubeVirt, CDI, Multus and CSI snapshots in a
// cluster of the test stack: their kinds as custom resources that take any field,
// and controllers that do what a restore meets.
package kubevirt

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// kind is one custom resource.
type kind struct {
	group, version, kind, plural string
	shortNames                   []string
}

// kinds has the names with which the real operators define the resources.
var kinds = []kind{
	{"kubevirt.io", "v1", "VirtualMachine", "virtualmachines", []string{"vm", "vms"}},
	{"kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances", []string{"vmi", "vmis"}},
	{"kubevirt.io", "v1", "VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets", []string{"vmirs", "vmirss"}},
	{"kubevirt.io", "v1", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations", []string{"vmim", "vmims"}},
	{"instancetype.kubevirt.io", "v1beta1", "VirtualMachineInstancetype", "virtualmachineinstancetypes", []string{"vminstancetype"}},
	{"instancetype.kubevirt.io", "v1beta1", "VirtualMachinePreference", "virtualmachinepreferences", []string{"vmpref"}},
	{"pool.kubevirt.io", "v1beta1", "VirtualMachinePool", "virtualmachinepools", []string{"vmpool", "vmpools"}},
	{"clone.kubevirt.io", "v1beta1", "VirtualMachineClone", "virtualmachineclones", []string{"vmclone", "vmclones"}},
	{"export.kubevirt.io", "v1", "VirtualMachineExport", "virtualmachineexports", []string{"vmexport", "vmexports"}},
	{"snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot", "virtualmachinesnapshots", []string{"vmsnapshot", "vmsnapshots"}},
	{"snapshot.kubevirt.io", "v1beta1", "VirtualMachineRestore", "virtualmachinerestores", []string{"vmrestore", "vmrestores"}},
	{"backup.kubevirt.io", "v1alpha1", "VirtualMachineBackup", "virtualmachinebackups", []string{"vmbackup"}},
	{"backup.kubevirt.io", "v1alpha1", "VirtualMachineBackupTracker", "virtualmachinebackuptrackers", nil},
	{"cdi.kubevirt.io", "v1beta1", "DataVolume", "datavolumes", []string{"dv", "dvs"}},
	{"cdi.kubevirt.io", "v1beta1", "DataSource", "datasources", []string{"das"}},
	{"cdi.kubevirt.io", "v1beta1", "DataImportCron", "dataimportcrons", []string{"dic", "dics"}},
	{"k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition", "network-attachment-definitions", []string{"net-attach-def"}},
	{"k8s.cni.cncf.io", "v1alpha1", "IPAMClaim", "ipamclaims", nil},
	{"snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots", []string{"vs"}},
}

// Resource returns the resource of a kind that this package defines, and whether
// it does.
func Resource(of schema.GroupKind) (schema.GroupVersionResource, bool) {
	for _, k := range kinds {
		if k.group == of.Group && k.kind == of.Kind {
			return k.resource(), true
		}
	}
	return schema.GroupVersionResource{}, false
}

func (k kind) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.plural}
}

// definitionTimeout is how long the API server may take to serve a new kind.
const definitionTimeout = time.Minute

// Install defines the kinds of all groups, or those of some, and waits until they
// are served.
func Install(ctx context.Context, client dynamic.Interface, groups ...string) error {
	ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
	defer cancel()
	definitions := client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, k := range kinds {
		if !k.in(groups) {
			continue
		}
		definition := k.definition()
		options := metav1.ApplyOptions{FieldManager: "oadp-fake-kubevirt", Force: true}
		if _, err := definitions.Apply(ctx, definition.GetName(), definition, options); err != nil {
			return fmt.Errorf("defining %s: %w", definition.GetName(), err)
		}
	}
	for _, k := range kinds {
		if !k.in(groups) {
			continue
		}
		err := stack.Await(ctx, func() error {
			_, err := client.Resource(k.resource()).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		})
		if err != nil {
			return fmt.Errorf("%s is not served: %w", k.plural, err)
		}
	}
	return nil
}

func (k kind) in(groups []string) bool {
	for _, group := range groups {
		if k.group == group {
			return true
		}
	}
	return len(groups) == 0
}

func (k kind) definition() *unstructured.Unstructured {
	names := map[string]any{"plural": k.plural, "singular": strings.ToLower(k.kind), "kind": k.kind, "listKind": k.kind + "List"}
	if k.plural == "network-attachment-definitions" {
		names["singular"] = "network-attachment-definition"
	}
	var short []any
	for _, name := range k.shortNames {
		short = append(short, name)
	}
	names["shortNames"] = short
	anything := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": k.plural + "." + k.group,
			"annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, a stand-in"}},
		"spec": map[string]any{
			"group": k.group, "scope": "Namespaced", "names": names,
			"versions": []any{map[string]any{
				"name": k.version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{
					"type": "object", "x-kubernetes-preserve-unknown-fields": true,
					"properties": map[string]any{"spec": anything, "status": anything},
				}},
				"subresources": map[string]any{"status": map[string]any{}},
			}},
		},
	}}
}
