package main

import "testing"

func TestService(t *testing.T) {
	restoreCases(t, offline(t), "15-service", []restoreCase{
		{what: "load balancer", item: `{kind: Service, spec: {type: LoadBalancer, externalIPs: [1.2.3.4], clusterIP: 10.0.0.1}}`,
			want: `{kind: Service, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}}`},
		{what: "cluster IP", item: `{kind: Service, spec: {type: ClusterIP, externalIPs: [1.2.3.4]}}`},
		{what: "no spec", item: `{kind: Service}`},
	})
}

func TestRoute(t *testing.T) {
	const own = `{kind: Route, metadata: {annotations: {openshift.io/host.generated: "true"}}, spec: {host: a-shop.apps.old.example, to: {name: a}}}`
	restoreCases(t, offline(t), "05-route", []restoreCase{
		{what: "generated", item: own,
			want: `{kind: Route, metadata: {annotations: {openshift.io/host.generated: "true"}}, spec: {to: {name: a}}}`},
		{what: "not generated", item: `{kind: Route, metadata: {annotations: {openshift.io/host.generated: "false"}}, spec: {host: a.example}}`},
		{what: "no annotation", item: `{kind: Route, spec: {host: a.example}}`},
		{what: "no host", item: `{kind: Route, metadata: {annotations: {openshift.io/host.generated: "true"}}}`},
	})
	t.Setenv("OPENSHIFT_ROUTE_DOMAINS", "old.example=new.example, apps.old.example = apps.new.example")
	moved := func(host string) string { return `{kind: Route, spec: {host: ` + host + `}}` }
	restoreCases(t, offline(t), "05-route", []restoreCase{
		{what: "generated, with domains", item: own,
			want: `{kind: Route, metadata: {annotations: {openshift.io/host.generated: "true"}}, spec: {to: {name: a}}}`},
		{what: "moved", item: moved("shop.old.example"), want: moved("shop.new.example")},
		{what: "the longest domain", item: moved("shop.apps.old.example"), want: moved("shop.apps.new.example")},
		{what: "the domain itself", item: moved("old.example"), want: moved("new.example")},
		{what: "no subdomain", item: moved("shopold.example")},
		{what: "another domain", item: moved("shop.example.com")},
	})
	t.Setenv("OPENSHIFT_ROUTE_DOMAINS", "old.example")
	restoreCases(t, offline(t), "05-route", []restoreCase{
		{what: "bad setting", item: moved("shop.old.example"), err: "OPENSHIFT_ROUTE_DOMAINS"},
	})
}

func TestAutoscaler(t *testing.T) {
	target := func(kind, version string) string {
		return `{kind: HorizontalPodAutoscaler, spec: {metrics: [{type: Resource, resource: {target: {averageUtilization: 80}}}], scaleTargetRef: {kind: ` + kind + `, apiVersion: ` + version + `}}}`
	}
	restoreCases(t, offline(t), "24-horizontalpodautoscaler", []restoreCase{
		{what: "old deployment config", item: target("DeploymentConfig", "v1"), want: target("DeploymentConfig", "apps.openshift.io/v1")},
		{what: "deployment config", item: target("DeploymentConfig", "apps.openshift.io/v1")},
		{what: "deployment", item: target("Deployment", "apps/v1")},
		{what: "replication controller", item: target("ReplicationController", "v1")},
		{what: "no target", item: `{kind: HorizontalPodAutoscaler, spec: {}}`},
		{what: "no kind", item: `{kind: HorizontalPodAutoscaler, spec: {scaleTargetRef: {apiVersion: v1}}}`},
		{what: "bad version", item: target("DeploymentConfig", "a/b/c"), err: "apiVersion"},
	})
}

func TestNonAdmin(t *testing.T) {
	item := func(group, kind string) string { return "{apiVersion: " + group + "/v1alpha1, kind: " + kind + "}" }
	restoreCases(t, offline(t), "26-nonadmin", []restoreCase{
		{what: "backup", item: item("oadp.openshift.io", "NonAdminBackup"), skip: true},
		{what: "restore", item: item("oadp.openshift.io", "NonAdminRestore"), skip: true},
		{what: "location", item: item("oadp.openshift.io", "NonAdminBackupStorageLocation"), skip: true},
		{what: "location request", item: item("oadp.openshift.io", "NonAdminBackupStorageLocationRequest"), skip: true},
		{what: "download request", item: item("oadp.openshift.io", "NonAdminDownloadRequest"), skip: true},
		{what: "another group", item: item("example.io", "NonAdminBackup")},
		{what: "another kind", item: item("oadp.openshift.io", "DataProtectionApplication")},
	})
}

func TestAlwaysSkipped(t *testing.T) {
	for _, name := range []string{"06-build", "23-imagetag"} {
		restoreCases(t, offline(t), name, []restoreCase{{what: name, item: "kind: Any", skip: true}})
	}
}
