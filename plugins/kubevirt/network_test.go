package main

import (
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

func TestRestoreNetwork(t *testing.T) {
	const restore = "{spec: {namespaceMapping: {shop: copy}}}"
	for _, c := range []struct{ config, want, warns string }{
		{`{"a": 1.50, "netAttachDefName" : "shop/net", "b":{"netAttachDefName":"shop/x"}}`, `{"a": 1.50, "netAttachDefName" : "copy/net", "b":{"netAttachDefName":"shop/x"}}`, ""},
		{`{ "netAttachDefName":"other/net","mtu":9007199254740993 }`, `{ "netAttachDefName":"other/net","mtu":9007199254740993 }`, ""},
		{`{"netAttachDefName":"net"}`, `{"netAttachDefName":"net"}`, ""},
		{`{"netAttachDefName":{"a":"shop/net"}}`, `{"netAttachDefName":{"a":"shop/net"}}`, ""},
		{` {"type":"bridge"}`, ` {"type":"bridge"}`, ""},
		{`["netAttachDefName","shop/net"]`, `["netAttachDefName","shop/net"]`, ""},
		{`{"netAttachDefName":"shop/net"`, `{"netAttachDefName":"shop/net"`, "is no JSON"},
	} {
		log := testlog.Default(t)
		nad := parse(t, "{apiVersion: k8s.cni.cncf.io/v1, kind: NetworkAttachmentDefinition, metadata: {name: net, namespace: shop}, spec: {}}")
		fields.MapAt(nad.Object, "spec")["config"] = c.config
		item, result, err := restored(t, "restore-networkattachmentdefinition-action", asYAML(t, nad.Object), restore)
		if got := fields.TextAt(item.Object, "spec", "config"); err != nil || result.Skip || got != c.want {
			t.Errorf("%s becomes %s: %v", c.config, got, err)
		}
		if !strings.Contains(log.String(), c.warns) {
			t.Errorf("%s: %s", c.config, log)
		}
	}
	if _, _, err := restored(t, "restore-networkattachmentdefinition-action", "{kind: NetworkAttachmentDefinition, metadata: {name: net, namespace: shop}}", restore); err != nil {
		t.Error(err)
	}
}

func TestRestoreAddressClaim(t *testing.T) {
	for labels, skip := range map[string]bool{"kubevirt.io/vm: web": true, "app: web": false, "": false} {
		_, result, err := restored(t, "restore-ipamclaim-action", "{apiVersion: k8s.cni.cncf.io/v1alpha1, kind: IPAMClaim, metadata: {name: web.net, namespace: shop, labels: {"+labels+"}}}", "")
		if err != nil || result.Skip != skip {
			t.Errorf("%q: %v, %v", labels, result, err)
		}
	}
}

// Requests are left out, unless the Restore asks for them, and then come after
// what they refer to.
func TestRestoreTransient(t *testing.T) {
	const clone = "{apiVersion: clone.kubevirt.io/v1beta1, kind: VirtualMachineClone, metadata: {name: c, namespace: shop}, spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: web}}}"
	const export = "{apiVersion: export.kubevirt.io/v1, kind: VirtualMachineExport, metadata: {name: e, namespace: shop}, spec: {tokenSecretRef: s, source: {kind: PersistentVolumeClaim, name: root}}}"
	testlog.Default(t)
	for _, text := range []string{clone, export, "{kind: VirtualMachineInstanceMigration, metadata: {name: m, namespace: shop}}"} {
		for _, value := range []string{"", "velero.kubevirt.io/restore-transient-objects: \"false\""} {
			if _, result, err := restored(t, "restore-transient-action", text, "{metadata: {labels: {"+value+"}}}"); err != nil || !result.Skip || result.AdditionalItems != nil {
				t.Errorf("%s: %v, %v", text, result, err)
			}
		}
	}
	for text, want := range map[string][]string{clone: {"virtualmachines/web"}, export: {"persistentvolumeclaims/root", "secrets/s"}} {
		_, result, err := restored(t, "restore-transient-action", text, "{metadata: {labels: {velero.kubevirt.io/restore-transient-objects: \"true\"}}}")
		if err != nil || result.Skip {
			t.Errorf("%s: %v, %v", text, result, err)
		}
		mustList(t, text, short(forms(result.AdditionalItems)), want...)
	}
}

// The pods of machines are never restored, and the action sees no other pods.
func TestRestorePod(t *testing.T) {
	_, result, err := restored(t, "restore-pod-action", "{kind: Pod, metadata: {name: p, labels: {kubevirt.io: virt-launcher}}}", "")
	if err != nil || !result.Skip {
		t.Error(result, err)
	}
	for _, row := range newActions(nil).table() {
		if (row.name == "restore-pod-action" || row.name == "block-pod-action") && row.selector.LabelSelector != "kubevirt.io in (virt-launcher,hotplug-disk)" {
			t.Errorf("%s: %v", row.name, row.selector)
		}
	}
}

// A pool comes with its machines, and is restored paused and after them.
func TestPool(t *testing.T) {
	s := newSite(t)
	testlog.Default(t)
	const vm = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: NAME, ownerReferences: [{apiVersion: pool.kubevirt.io/v1alpha1, kind: VirtualMachinePool, name: POOL, uid: x}]}"
	for name, pool := range map[string]string{"web-0": "web", "web-1": "web", "db-0": "db"} {
		s.create(t, strings.NewReplacer("NAME", name, "POOL", pool).Replace(vm))
	}
	s.create(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: login}")
	pool := s.create(t, `{apiVersion: pool.kubevirt.io/v1beta1, kind: VirtualMachinePool, metadata: {name: web}, spec: {replicas: 2,
virtualMachineTemplate: {spec: {template: {spec: {volumes: [{dataVolume: {name: root}}, {cloudInitNoCloud: {secretRef: {name: login}}}]}}}}}}`)[0]
	archived, items, err := backUp(t, s.actions(), "backup-virtualmachinepool-action", pool, "")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", short(items), "virtualmachines/web-0", "virtualmachines/web-1", "secrets/login")
	back, result, err := restored(t, "restore-virtualmachinepool-action", asYAML(t, archived.Object), "")
	if err != nil || back.Object["spec"].(map[string]any)["paused"] != true || back.GetAnnotations() != nil {
		t.Error(back, err)
	}
	mustList(t, "restored first", short(forms(result.AdditionalItems)), "virtualmachines/web-0", "virtualmachines/web-1")
	back, result, err = restored(t, "restore-virtualmachinepool-action", `{apiVersion: pool.kubevirt.io/v1beta1, kind: VirtualMachinePool, metadata: {name: web, namespace: shop,
annotations: {velero.kubevirt.io/object-graph: '["secrets/shop/s","virtualmachines.kubevirt.io/other/x"]'}}, spec: {}}`, "")
	if err != nil || len(result.AdditionalItems) != 0 || back.Object["spec"].(map[string]any)["paused"] != true {
		t.Error(back, result, err)
	}
}
