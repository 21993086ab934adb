package conformance

import (
	"encoding/json"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// TestKubeVirt checks the item actions with a cluster without KubeVirt behind
// them.
func TestKubeVirt(t *testing.T) {
	t.Parallel()
	plugintest.Run(t, plugintest.Plugin{
		Path:  build(t, "kubevirt-velero-plugin", "./plugins/kubevirt"),
		Env:   append(environment(t), "KUBECONFIG="+servers.ControlPlane(t).Kubeconfig, "OADP_PLUGIN_CLIENT_TIMEOUT=5s"),
		Items: kubeVirtItems(),
	})
}

// kubeVirtItems are items that the actions do something with, by the names of the
// actions.
func kubeVirtItems() map[string][]json.RawMessage {
	items := map[string][]json.RawMessage{}
	const (
		machine  = `{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"template": {"spec": {"volumes": [{"secret": {"secretName": "s"}}]}}}}`
		instance = `{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "web", "namespace": "shop", "labels": {"kubevirt.io/nodeName": "n"}}, "spec": {}}`
		pool     = `{"apiVersion": "pool.kubevirt.io/v1beta1", "kind": "VirtualMachinePool", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}}`
		volume   = `{"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": "root", "namespace": "shop"}, "status": {"phase": "Succeeded"}}`
		claim    = `{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "root", "namespace": "shop", "uid": "u"}, "spec": {"dataSource": {"apiGroup": "cdi.kubevirt.io"}}, "status": {"phase": "Bound"}}`
		pod      = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "labels": {"kubevirt.io": "virt-launcher"}, "annotations": {"kubevirt.io/domain": "web"}}}`
	)
	for action, item := range map[string]string{
		"backup-virtualmachine-action": machine, "restore-vm-action": machine, "block-vm-action": machine,
		"backup-virtualmachineinstance-action": instance, "restore-vmi-action": instance, "block-vmi-action": instance,
		"backup-virtualmachinepool-action": pool, "restore-virtualmachinepool-action": pool,
		"backup-datavolume-action": volume, "restore-datavolume-action": volume,
		"backup-pvc-action": claim, "restore-pvc-action": claim,
		"restore-pod-action": pod, "block-pod-action": pod,
		"backup-volumesnapshot-action":               `{"kind": "VolumeSnapshot", "metadata": {"name": "s", "namespace": "shop"}, "spec": {"source": {"persistentVolumeClaimName": "root"}}}`,
		"restore-volumesnapshot-action":              `{"kind": "VolumeSnapshot", "metadata": {"name": "s", "namespace": "shop", "labels": {"velero.kubevirt.io/pvc-uid": "u"}}}`,
		"restore-networkattachmentdefinition-action": `{"kind": "NetworkAttachmentDefinition", "metadata": {"name": "n", "namespace": "shop"}, "spec": {"config": "{\"netAttachDefName\": \"shop/n\"}"}}`,
		"restore-ipamclaim-action":                   `{"kind": "IPAMClaim", "metadata": {"name": "web.net", "namespace": "shop", "labels": {"kubevirt.io/vm": "web"}}}`,
		"restore-transient-action":                   `{"kind": "VirtualMachineClone", "metadata": {"name": "c", "namespace": "shop"}}`,
	} {
		items["kubevirt-velero-plugin/"+action] = []json.RawMessage{json.RawMessage(item)}
	}
	return items
}
