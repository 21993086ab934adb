package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
	"k8s.io/client-go/rest"
)

// In a cluster without CDI and Multus nothing of theirs is returned: Velero fails
// an item of which it cannot resolve an additional one.
func TestWithoutCDI(t *testing.T) {
	const served = `{"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "kubevirt.io"}, "versions": [{"version": "v1", "resources": [
{"resource": "virtualmachines", "scope": "Namespaced", "verbs": ["list", "create", "get", "delete"]}]}]}]}`
	const core = `{"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [
{"resource": "persistentvolumeclaims", "scope": "Namespaced", "verbs": ["list", "create", "get", "delete"]}]}]}]}`
	const claims = `{"kind": "PersistentVolumeClaimList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "root"}, "status": {"phase": "Bound"}}]}`
	a := newActions(kube.New(func() (*rest.Config, error) {
		return &rest.Config{Host: "http://cluster", QPS: -1, Transport: recorder.RoundTripper(func(r *http.Request) (*http.Response, error) {
			status, body := http.StatusNotFound, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
			for path, answer := range map[string]string{"/api": core, "/apis": served, "/api/v1/namespaces/shop/persistentvolumeclaims": claims} {
				if r.URL.Path == path {
					status, body = http.StatusOK, answer
				}
			}
			return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})}, nil
	}))
	log := testlog.Default(t)
	vm := parse(t, `{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {name: web, namespace: shop}, spec: {template: {spec: {networks: [{multus: {networkName: net}}], volumes: [{dataVolume: {name: root}}]}}}}`)
	_, items, err := backUp(t, a, "backup-virtualmachine-action", vm, "")
	if err != nil {
		t.Fatal(err)
	}
	mustList(t, "items", items, "persistentvolumeclaims/shop/root")
	if strings.Contains(log.String(), "WARN") {
		t.Error(log)
	}
}

// An item that claims to be in a namespace which the Restore does not include is
// an error of every action.
func TestItemsOutOfScope(t *testing.T) {
	for _, row := range newActions(nil).table() {
		if _, ok := row.do.(restoreFunc); !ok {
			continue
		}
		_, _, err := restored(t, row.name, "{kind: Any, metadata: {name: a, namespace: other}}", "{spec: {includedNamespaces: [shop]}}")
		mustRefuse(t, err, true, "RESTORE_OUT_OF_SCOPE")
	}
}
