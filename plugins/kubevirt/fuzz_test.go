package main

import (
	"encoding/json"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	"k8s.io/client-go/rest"
)

// answering returns actions in a cluster with one answer to every request.
func answering(answer string) *actions {
	return newActions(kube.New(func() (*rest.Config, error) {
		return &rest.Config{Host: "http://cluster", QPS: -1, Transport: recorder.Answering(answer)}, nil
	}))
}

// FuzzActions feeds every action with any item, any Backup or Restore and any
// answer of the cluster: none of it may panic, and what comes out still is an
// object of its kind.
func FuzzActions(f *testing.F) {
	const owner = `{"metadata": {"name": "b", "uid": "u", "labels": {"velero.kubevirt.io/metadataBackup": "x", "velero.kubevirt.io/restore-run-strategy": "Always", "velero.kubevirt.io/network-identity": "new"}},
"spec": {"includedResources": ["*"], "excludedResources": ["a["], "namespaceMapping": {"shop": "copy"}, "existingResourcePolicy": "update", "resourcePolicy": {"kind": "configmap", "name": "p"}}}`
	const keep = `{"metadata": {"labels": {"velero.kubevirt.io/network-identity": "keep", "velero.kubevirt.io/restore-transient-objects": "x"}}, "spec": {"defaultVolumesToFsBackup": true}}`
	const served = `{"kind": "APIGroupDiscoveryList", "apiVersion": "v1", "metadata": {}, "data": {"p": "includeExcludePolicy: {excludedNamespaceScopedResources: [pods]}"}, "items": [
{"kind": "Any", "metadata": {"name": "kubevirt.io", "uid": "i", "labels": {"persistent-state-for": "web", "kubevirt.io": "virt-launcher", "kubevirt.io/vm": "kubevirt"}},
"spec": {"volumes": [{"dataVolume": {"name": "root"}, "persistentVolumeClaim": {"claimName": "c"}}]}, "status": {"phase": "Running", "ips": ["1"], "migrationState": {}, "activePods": {"a": "b"}},
"versions": [{"version": "v1", "resources": [{"resource": "virtualmachines", "scope": "Namespaced", "shortNames": ["vm"], "verbs": ["list", "create", "get", "delete"]}]}]}]}`
	for _, item := range seeds() {
		f.Add(item, owner, served)
		f.Add(item, keep, `{"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}`)
	}
	f.Add(`{"kind": "Any", "metadata": 7, "spec": []}`, `null`, `[`)
	f.Fuzz(func(t *testing.T, item, owner, answer string) {
		decoded, err := sdk.NewDocument([]byte(item)).Object()
		if err != nil || decoded.GetKind() == "" {
			return
		}
		testlog.Default(t)
		for _, row := range answering(answer).table() {
			edited := decoded.DeepCopy()
			switch do := row.do.(type) { // an error is an answer
			case backupFunc:
				_, _ = do.run(t.Context(), sdk.BackupInput{Item: edited, Backup: sdk.NewBackup([]byte(owner))})
			case restoreFunc:
				_, _ = do.run(t.Context(), sdk.RestoreInput{Item: edited, FromBackup: sdk.NewDocument([]byte(item)), Restore: sdk.NewRestore([]byte(owner))})
			case blockFunc:
				_, _ = do.run(t.Context(), sdk.RelatedItemsInput{Item: edited, Backup: sdk.NewBackup([]byte(owner))})
			}
			if edited.GetKind() != decoded.GetKind() {
				t.Fatalf("%s makes the kind %q of %q", row.name, edited.GetKind(), decoded.GetKind())
			}
			if _, err := json.Marshal(edited.Object); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
	})
}

// seeds are items that make the actions do all that they can.
func seeds() []string {
	return []string{
		`{"kind": "VirtualMachine", "metadata": {"name": "web", "namespace": "shop", "uid": "i", "annotations": {"velero.kubevirt.io/object-graph": "[\"secrets/shop/s\"]", "velero.kubevirt.io/addresses": "{\"a\":[\"1\"]}"}},
"spec": {"running": true, "instancetype": {}, "dataVolumeTemplates": [{"metadata": {"name": "root"}, "spec": {"source": {"http": {"secretExtraHeaders": ["a", 1]}}}}],
"template": {"metadata": {"annotations": {"ovn.kubernetes.io/mac_address": "a"}}, "spec": {"domain": {"devices": {"interfaces": [{"macAddress": "a"}], "tpm": {"persistent": true}}, "firmware": {"serial": "s"}},
"networks": [{"name": "kubevirt", "pod": {}, "multus": {"networkName": "shop/net"}}], "volumes": [{"dataVolume": {"name": "root"}}, {"persistentVolumeClaim": {"claimName": "c"}}, 7]}}},
"status": {"created": true, "printableStatus": "Running", "instancetypeRef": {"controllerRevisionRef": {"name": "r"}}}}`,
		`{"kind": "VirtualMachineInstance", "metadata": {"name": "web", "namespace": "shop", "labels": {"kubevirt.io/nodeName": "n"}, "ownerReferences": [{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "web"}, 3]},
"status": {"phase": "Running", "conditions": [{"type": "Paused", "status": "True"}, 1], "activePods": {"a": 1}, "migrationState": {"sourcePersistentStatePVCName": "s"}}}`,
		`{"kind": "VirtualMachinePool", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"paused": "x", "virtualMachineTemplate": {"spec": {"template": {"spec": {}}}}}}`,
		`{"kind": "DataVolume", "metadata": {"name": "root", "namespace": "shop"}, "spec": {"source": {"http": {"secretRef": "s"}}}, "status": {"phase": "Succeeded", "claimName": 1}}`,
		`{"kind": "PersistentVolumeClaim", "metadata": {"name": "root", "namespace": "shop", "uid": "u", "labels": {"velero.kubevirt.io/pvc-uid": "x", "persistent-state-for": "web"}, "ownerReferences": [{"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "name": "root"}]},
"spec": {"dataSource": {"apiGroup": "cdi.kubevirt.io"}, "dataSourceRef": "x"}, "status": {"phase": "Bound"}}`,
		`{"kind": "VolumeSnapshot", "metadata": {"name": "s", "namespace": "shop"}, "spec": {"source": {"persistentVolumeClaimName": "kubevirt.io"}}}`,
		`{"kind": "NetworkAttachmentDefinition", "metadata": {"name": "n"}, "spec": {"config": "{\"a\":1,\"netAttachDefName\":\"shop/n\"}"}}`,
		`{"kind": "IPAMClaim", "metadata": {"labels": {"kubevirt.io/vm": 1}}}`,
		`{"kind": "VirtualMachineClone", "metadata": {"name": "c"}, "spec": {"source": {"kind": "VirtualMachine", "name": "web"}}}`,
		`{"kind": "Pod", "metadata": {"name": "p", "labels": {"kubevirt.io": "hotplug-disk"}, "ownerReferences": [{"kind": "Pod", "uid": "i"}]}, "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}}`,
		`{"kind": "Any", "metadata": {"annotations": {"a": 1}, "labels": "x", "ownerReferences": {}}, "spec": {"template": [], "volumes": {}}}`,
	}
}

// FuzzOwnName feeds the mapping of networks with any configuration: what was JSON
// stays JSON, and without a mapping no byte changes.
func FuzzOwnName(f *testing.F) {
	f.Add(`{"a":1,"netAttachDefName":"shop/n"}`, "copy")
	f.Add("{\"netAttachDefName\":\"\\u0073hop/n\"} ", "\"\\")
	f.Add(`{"netAttachDefName":1,"netAttachDefName":"shop/n","netAttachDefName":"shop/m"}`, "copy")
	f.Fuzz(func(t *testing.T, config, namespace string) {
		same, err := mapOwnName(config, func(namespace string) string { return namespace })
		if err == nil && same != config {
			t.Fatalf("%q becomes %q", config, same)
		}
		mapped, err := mapOwnName(config, func(string) string { return namespace })
		if err == nil && !json.Valid([]byte(mapped)) {
			t.Fatalf("%q becomes %q", config, mapped)
		}
	})
}
