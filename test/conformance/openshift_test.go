package conformance

import (
	"encoding/json"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// TestOpenShift checks the item actions with a plain Kubernetes cluster behind
// them.
func TestOpenShift(t *testing.T) {
	t.Parallel()
	plugintest.Run(t, plugintest.Plugin{
		Path:  build(t, "velero-plugins", "./plugins/openshift"),
		Env:   append(environment(t), "KUBECONFIG="+servers.ControlPlane(t).Kubeconfig, "OADP_PLUGIN_CLIENT_TIMEOUT=5s"),
		Items: openShiftItems(),
		Operations: []plugintest.Operation{{
			Kind: "RestoreItemActionV2", Name: "openshift.io/27-image-trigger-restore-plugin", Item: json.RawMessage(triggeredDeployment),
		}},
	})
}

const triggeredDeployment = `{"apiVersion": "apps/v1", "kind": "Deployment",
"metadata": {"name": "web", "namespace": "shop", "annotations": {"image.openshift.io/triggers": "[{\"from\":{\"kind\":\"ImageStreamTag\",\"name\":\"web:v1\",\"namespace\":\"shop\"}}]"}},
"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "r/shop/web"}], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}}}`

// openShiftItems are items that the actions do something with, by the end of
// the actions' names.
func openShiftItems() map[string][]json.RawMessage {
	items := map[string][]json.RawMessage{}
	for action, item := range map[string]string{
		"02-serviceaccount":          `{"kind": "ServiceAccount", "metadata": {"name": "app", "namespace": "shop"}, "secrets": [{"name": "app-dockercfg-1"}], "imagePullSecrets": [{"name": "app-dockercfg-1"}]}`,
		"03-pv":                      `{"kind": "PersistentVolume", "metadata": {"name": "v", "annotations": {"openshift.io/migrate-type": "copy"}}, "spec": {"storageClassName": "a"}}`,
		"04-pvc":                     `{"kind": "PersistentVolumeClaim", "metadata": {"name": "v", "namespace": "shop"}, "spec": {"selector": {}}}`,
		"04-imagestreamtag":          `{"kind": "ImageStreamTag", "metadata": {"name": "web:v1", "namespace": "shop"}, "tag": {"from": {"kind": "ImageStreamTag", "name": "web:v2"}}}`,
		"05-route":                   `{"kind": "Route", "metadata": {"name": "web", "namespace": "shop", "annotations": {"openshift.io/host.generated": "true"}}, "spec": {"host": "a.example"}}`,
		"07-pod":                     `{"kind": "Pod", "metadata": {"name": "b", "namespace": "shop", "labels": {"deployment": "d-1", "deploymentconfig": "d"}}, "spec": {"containers": [{"name": "a", "image": "b"}], "volumes": [{"name": "v", "emptyDir": {}}]}}`,
		"08-deploymentconfig":        `{"kind": "DeploymentConfig", "metadata": {"name": "d", "namespace": "shop"}, "spec": {"replicas": 1, "selector": {"a": "b"}, "triggers": [{"imageChangeParams": {"from": {"namespace": "shop"}}}]}}`,
		"13-deployment":              triggeredDeployment,
		"15-service":                 `{"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "LoadBalancer", "externalIPs": ["1.2.3.4"]}}`,
		"17-buildconfig":             `{"kind": "BuildConfig", "metadata": {"name": "b", "namespace": "shop"}, "spec": {"output": {"to": {"kind": "DockerImage", "name": "r/a/b"}, "pushSecret": {"name": "builder-dockercfg-1"}}}}`,
		"20-SCC":                     `{"kind": "SecurityContextConstraints", "metadata": {"name": "app"}, "users": ["system:serviceaccount:shop:app"]}`,
		"21-role-bindings":           `{"kind": "RoleBinding", "metadata": {"name": "app", "namespace": "shop"}, "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "shop"}], "userNames": ["a"]}`,
		"24-horizontalpodautoscaler": `{"kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"scaleTargetRef": {"kind": "DeploymentConfig", "apiVersion": "v1"}}}`,
		"27-image-trigger":           triggeredDeployment,
	} {
		for _, kind := range []string{"backup", "restore", "iba"} {
			items["openshift.io/"+action+"-"+kind+"-plugin"] = []json.RawMessage{json.RawMessage(item)}
		}
	}
	return items
}
