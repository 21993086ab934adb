package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/fields/fieldstest"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// site is the cluster of the test stack with the actions under test.
type site struct {
	*actions
	t        *testing.T
	cluster  *stack.ControlPlane
	requests *recorder.Sent
}

// plainSite is a cluster without OpenShift's groups, as long as no test has
// asked for those.
func plainSite(t *testing.T) site {
	t.Helper()
	return newSite(t, func(*rest.Config) {})
}

var installed sync.Mutex // held while OpenShift's kinds are defined

// openShift is the cluster with OpenShift's groups.
func openShift(t *testing.T) site {
	t.Helper()
	s := plainSite(t)
	installed.Lock()
	defer installed.Unlock()
	if err := openshift.Install(t.Context(), s.cluster.Dynamic); err != nil {
		t.Fatal(err)
	}
	return s
}

func newSite(t *testing.T, change func(*rest.Config)) site {
	t.Helper()
	s := site{t: t, cluster: servers.ControlPlane(t), requests: &recorder.Sent{}}
	config := rest.CopyConfig(s.cluster.Config)
	config.Wrap(s.requests.Transport)
	change(config)
	s.actions = newActions(kube.New(func() (*rest.Config, error) { return config, nil }))
	return s
}

// create makes the objects of a YAML stream, and deletes them after the test.
func (s site) create(text string) []*unstructured.Unstructured {
	s.t.Helper()
	var created []*unstructured.Unstructured
	for part := range strings.SplitSeq(text, "\n---\n") {
		o := fieldstest.Object(s.t, part)
		client := s.resource(o)
		made, err := client.Create(s.t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			s.t.Fatalf("%s: %v", fields.Describe(o), err)
		}
		created = append(created, made)
		s.t.Cleanup(func() {
			// A cluster that ends with the test run need not be tidy: only what
			// other tests would trip over has to go.
			_ = client.Delete(context.Background(), o.GetName(), metav1.DeleteOptions{})
		})
	}
	return created
}

func (s site) get(o *unstructured.Unstructured) *unstructured.Unstructured {
	s.t.Helper()
	found, err := s.resource(o).Get(s.t.Context(), o.GetName(), metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func (s site) resource(o *unstructured.Unstructured) dynamic.ResourceInterface {
	kind := o.GroupVersionKind()
	plural := strings.ToLower(kind.Kind)
	if !strings.HasSuffix(plural, "s") {
		plural += "s"
	}
	resources := s.cluster.Dynamic.Resource(kind.GroupVersion().WithResource(plural))
	if o.GetNamespace() == "" {
		return resources
	}
	return resources.Namespace(o.GetNamespace())
}

// ensureNamespace makes a namespace of that name, unless there is one.
func (s site) ensureNamespace(name string) {
	s.t.Helper()
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	if _, err := s.cluster.Dynamic.Resource(namespaces).Get(s.t.Context(), name, metav1.GetOptions{}); err == nil {
		return
	}
	if err := s.cluster.CreateNamespace(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
}

// TestCluster goes from a cluster without OpenShift to one with it.
func TestCluster(t *testing.T) {
	t.Run("plain Kubernetes", testPlainKubernetes)
	t.Run("forbidden", testForbidden)
	t.Run("registry host", testRegistryHost)
	t.Run("pull secrets", testPullSecrets)
	t.Run("pull secrets never come", testPullSecretsNeverCome)
	t.Run("pull secrets are awaited once", testPullSecretsAreAwaitedOnce)
	t.Run("no registry", testNoRegistry)
	t.Run("constraints", testConstraints)
	t.Run("constraint without users", testConstraintWarning)
	t.Run("deployment config", testDeploymentConfigFacts)
	t.Run("owners", testOwners)
	t.Run("moved volume", testMovedVolume)
	t.Run("triggers", testTriggers)
}

// Where there is nothing of OpenShift nothing is changed but for the stamps, and
// a namespace of many items costs two requests.
func testPlainKubernetes(t *testing.T) {
	s := plainSite(t)
	namespace := s.cluster.NewNamespace(t)
	backup := fmt.Sprintf("{metadata: {name: b, uid: %s}}", namespace)
	var done sync.WaitGroup
	for i := range 200 {
		done.Go(func() {
			item := fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d%d, namespace: %s}}", i, namespace)
			o, _, err := backUp(t, s.actions, "01-common-backup", item, backup)
			if err != nil || fields.Annotation(o, api.BackupServerVersionKey) == "" || fields.Annotation(o, api.BackupRegistryHostKey) != "" || !fields.HasAnnotation(o, api.BackupRegistryHostKey) {
				t.Errorf("%v, %v", o, err)
			}
		})
	}
	done.Wait()
	if sent := s.requests.Take(); len(sent) != 2 {
		t.Errorf("200 items took the requests %v", sent)
	}
	for _, action := range s.table() {
		checkPlain(t, s, action, namespace)
	}
	sent := s.requests.Take()
	slices.Sort(sent)
	if len(slices.Compact(sent)) > 10 {
		t.Errorf("all actions took the requests %v", sent)
	}
}

// checkPlain runs an action with an item that has nothing of OpenShift.
func checkPlain(t *testing.T, s site, a action, namespace string) {
	t.Helper()
	item := fmt.Sprintf("{apiVersion: v1, kind: Any, metadata: {name: a, namespace: %s}, spec: {containers: [{image: nginx}]}}", namespace)
	o := fieldstest.Object(t, item)
	err := callAction(t.Context(), a.implementation, o, fieldstest.JSON(t, "{metadata: {name: plain, uid: plain}}"))
	if err != nil {
		t.Errorf("%s: %v", a.name, err)
	}
}

// What the cluster refuses is an error with the item, the verb and the resource.
func testForbidden(t *testing.T) {
	s := openShift(t)
	s = newSite(t, func(c *rest.Config) { c.Impersonate.UserName = "nobody" })
	_, _, err := backUp(t, s.actions, "02-serviceaccount-backup", "{kind: ServiceAccount, metadata: {name: a, namespace: default}}", "{metadata: {uid: f1}}")
	if !errors.Is(err, kube.CodeForbidden) || !strings.Contains(err.Error(), "ServiceAccount default/a") || !strings.Contains(err.Error(), "securitycontextconstraints") {
		t.Errorf("error: %v", err)
	}
	if _, _, err := backUp(t, s.actions, "01-common-backup", "{kind: Pod, metadata: {name: a, namespace: default}}", "{metadata: {uid: f1}}"); !errors.Is(err, kube.CodeForbidden) {
		t.Errorf("error: %v", err)
	}
}

// Each place that tells the registry's host is tried in turn.
func testRegistryHost(t *testing.T) {
	s := openShift(t)
	for _, name := range []string{"openshift", "openshift-apiserver", "openshift-image-registry", "shop"} {
		s.ensureNamespace(name)
	}
	host := func() string {
		t.Helper()
		s := openShift(t) // which has looked up nothing
		item, _, err := backUp(t, s.actions, "01-common-backup", "{kind: Pod, metadata: {name: a, namespace: shop}}", "{metadata: {uid: r1}}")
		if err != nil {
			t.Error(err)
		}
		return fields.Annotation(item, api.BackupRegistryHostKey)
	}
	if got := host(); got != "" {
		t.Errorf("a registry is found where there is none: %s", got)
	}
	for _, source := range []struct{ want, object string }{
		{"10.96.77.77:5005", "{apiVersion: v1, kind: Service, metadata: {name: docker-registry, namespace: default}, spec: {clusterIP: 10.96.77.77, ports: [{port: 5005}]}}"},
		{"image-registry.openshift-image-registry.svc:5000", "{apiVersion: v1, kind: Service, metadata: {name: image-registry, namespace: openshift-image-registry}, spec: {ports: [{port: 5000}]}}"},
		{"map:5000", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: openshift-apiserver}\ndata:\n  config.yaml: '{\"imagePolicyConfig\": {\"internalRegistryHostname\": \"map:5000\"}}'"},
		{"own:5000", "{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: app, namespace: shop}, status: {dockerImageRepository: \"own:5000/shop/app\"}}"},
		{"sample:5000", "{apiVersion: image.openshift.io/v1, kind: ImageStream, metadata: {name: ruby, namespace: openshift}, status: {dockerImageRepository: \"sample:5000/openshift/ruby\"}}"},
		{"configured:5000", "{apiVersion: config.openshift.io/v1, kind: Image, metadata: {name: cluster}, status: {internalRegistryHostname: \"configured:5000\"}}"},
	} {
		s.create(source.object)
		if got := host(); got != source.want {
			t.Errorf("the registry is %s, want %s", got, source.want)
		}
	}
	s = openShift(t)
	for i := range 100 {
		item := fmt.Sprintf("{kind: Deployment, metadata: {name: d%d, namespace: shop}}", i)
		if _, _, err := backUp(t, s.actions, "01-common-backup", item, "{metadata: {uid: n1}}"); err != nil {
			t.Fatal(err)
		}
	}
	if sent := s.requests.Take(); len(sent) != 3 {
		t.Errorf("100 items took the requests %v", sent)
	}
}

func testDeploymentConfigFacts(t *testing.T) {
	s := openShift(t)
	namespace := s.cluster.NewNamespace(t)
	in := func(text string) string { return strings.ReplaceAll(text, "NS", namespace) }
	s.create(in(`{apiVersion: v1, kind: Pod, metadata: {name: plain-1, namespace: NS, labels: {app: plain, a: b}}, spec: {containers: [{name: a, image: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: full-1, namespace: NS, labels: {app: full}}, spec: {containers: [{name: a, image: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: full-2, namespace: NS, labels: {app: full}, annotations: {post.hook.restore.velero.io/command: "x"}}, spec: {containers: [{name: a, image: a}], volumes: [{name: v, emptyDir: {}}]}}`))
	for app, want := range map[string]string{
		"plain": `oadp.openshift.io/has-pod-restore-hooks: "false", oadp.openshift.io/pods-have-volumes: "false", oadp.openshift.io/pod-labels: "a=b,app=plain"`,
		"full":  `oadp.openshift.io/has-pod-restore-hooks: "true", oadp.openshift.io/pods-have-volumes: "true", oadp.openshift.io/pod-labels: "app=full"`,
		"none":  `oadp.openshift.io/has-pod-restore-hooks: "false", oadp.openshift.io/pods-have-volumes: "false", oadp.openshift.io/pod-labels: ""`,
	} {
		item := in("{kind: DeploymentConfig, metadata: {name: a, namespace: NS}, spec: {selector: {app: " + app + "}}}")
		got, _, err := backUp(t, s.actions, "08-deploymentconfig-backup", item, in("{metadata: {uid: NS}}"))
		if err != nil {
			t.Fatal(err)
		}
		noted := fieldstest.Object(t, strings.Replace(item, "}, spec", `, annotations: {oadp.openshift.io/includes-dm-dc-fix: "true", `+want+"}}, spec", 1))
		fieldstest.Equal(t, app, got, noted)
		// What an earlier backup has noted is replaced, also by nothing.
		old := strings.Replace(item, "}, spec", `, annotations: {oadp.openshift.io/pod-labels: app=old, oadp.openshift.io/pods-have-volumes: "true", oadp.openshift.io/has-pod-restore-hooks: "true"}}, spec`, 1)
		if got, _, err = backUp(t, s.actions, "08-deploymentconfig-backup", old, in("{metadata: {uid: NS}}")); err != nil {
			t.Fatal(err)
		}
		fieldstest.Equal(t, app+", backed up before", got, noted)
	}
	if sent := s.requests.Take(); len(sent) != 1 {
		t.Errorf("three deployment configs took the requests %v", sent)
	}
}

// Replication controllers and config maps are marked by what owns them.
func testOwners(t *testing.T) {
	s := openShift(t)
	namespace := s.cluster.NewNamespace(t)
	in := func(text string) string { return strings.ReplaceAll(text, "NS", namespace) }
	s.create(in(`{apiVersion: apps.openshift.io/v1, kind: DeploymentConfig, metadata: {name: paused, namespace: NS}, spec: {paused: true}}
---
{apiVersion: apps.openshift.io/v1, kind: DeploymentConfig, metadata: {name: running, namespace: NS}, spec: {paused: false}}
---
{apiVersion: v1, kind: Pod, metadata: {name: app-1-build, namespace: NS, annotations: {openshift.io/build.name: app-1}}, spec: {containers: [{name: a, image: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: empty-build, namespace: NS, annotations: {openshift.io/build.name: ""}}, spec: {containers: [{name: a, image: a}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-build, namespace: NS}, spec: {containers: [{name: a, image: a}]}}`))
	backup := in("{metadata: {uid: NS}}")
	for config, want := range map[string]string{"paused": "true", "running": "", "gone": ""} {
		item := in("{kind: ReplicationController, metadata: {name: a, namespace: NS, ownerReferences: [{kind: DeploymentConfig, name: " + config + "}]}}")
		got, _, err := backUp(t, s.actions, "09-replicationcontroller-backup", item, backup)
		if err != nil || fields.Annotation(got, api.PausedOwnerKey) != want {
			t.Errorf("replication controller of %s: %v, %v", config, got.GetAnnotations(), err)
		}
	}
	for _, c := range []struct{ name, pod, annotations, want string }{
		{"app-1-ca", "app-1-build", "", "true"},
		{"app-1-global-ca", "app-1-build", "", "true"},
		{"app-1-sys-config", "app-1-build", "", "true"},
		{"app-1-ca", "app-1-build", api.SkipBuildConfigMapKey + `: "false"`, "false"},
		{"app-1-settings", "app-1-build", "", ""},
		{"web-ca", "web-build", "", ""},
		{"web-ca", "gone", "", ""},
		{"web-ca", "web-build}, {kind: Pod, name: app-1-build", "", "true"},
		{"empty-ca", "empty-build", "", ""},
	} {
		item := in(fmt.Sprintf("{kind: ConfigMap, metadata: {name: %s, namespace: NS, annotations: {%s}, ownerReferences: [{kind: Pod, name: %s}]}}", c.name, c.annotations, c.pod))
		got, _, err := backUp(t, s.actions, "25-configmap-backup", item, backup)
		if err != nil || fields.Annotation(got, api.SkipBuildConfigMapKey) != c.want {
			t.Errorf("config map %s of %s: %v, %v", c.name, c.pod, got.GetAnnotations(), err)
		}
	}
	if sent := s.requests.Take(); len(sent) != 2 {
		t.Errorf("the items took the requests %v", sent)
	}
	if _, _, err := backUp(t, s.actions, "25-configmap-backup", "{kind: ConfigMap, metadata: {name: root-ca, namespace: x}}", backup); err != nil {
		t.Error(err)
	}
	if sent := s.requests.Take(); len(sent) != 0 {
		t.Errorf("a config map without an owner took the requests %v", sent)
	}
}

func testMovedVolume(t *testing.T) {
	s := openShift(t)
	volume := func(name, policy, kind string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolume, metadata: {name: %s, annotations: {openshift.io/migrate-type: %s}}, spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}, persistentVolumeReclaimPolicy: %s}}",
			name, kind, policy)
	}
	const migration = "{metadata: {name: m, labels: {app.kubernetes.io/part-of: openshift-migration}}}"
	for _, c := range []struct{ what, policy, kind, backup, want, original string }{
		{"moved", "Delete", "move", migration, "Retain", "Delete"},
		{"moved-and-retained", "Retain", "move", migration, "Retain", ""},
		{"copied", "Delete", "copy", migration, "Delete", ""},
		{"oadp", "Delete", "move", "{metadata: {name: b}}", "Delete", ""},
	} {
		live := s.create(volume(c.what, c.policy, c.kind))[0]
		item, _, err := backUp(t, s.actions, "03-pv-backup", volume(c.what, c.policy, c.kind), c.backup)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for where, o := range map[string]*unstructured.Unstructured{"backup": item, "cluster": s.get(live)} {
			if got := fields.TextAt(o.Object, "spec", "persistentVolumeReclaimPolicy"); got != c.want || fields.Annotation(o, api.OriginalPolicyKey) != c.original {
				t.Errorf("%s, in the %s: policy %s, was %s", c.what, where, got, fields.Annotation(o, api.OriginalPolicyKey))
			}
		}
		if changes := slices.ContainsFunc(s.requests.Take(), func(r string) bool { return !strings.HasPrefix(r, "GET") }); changes != (c.original != "") {
			t.Errorf("%s: the volume in the cluster was changed: %t", c.what, changes)
		}
	}
	// The item may be older than the volume, which another backup has changed since.
	for _, c := range []struct{ what, listed, live string }{{"listed-before", "Delete", "Retain"}, {"listed-after", "Retain", "Delete"}} {
		live := s.create(volume(c.what, c.live, "move"))[0]
		item, _, err := backUp(t, s.actions, "03-pv-backup", volume(c.what, c.listed, "move"), migration)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		for where, o := range map[string]*unstructured.Unstructured{"backup": item, "cluster": s.get(live)} {
			if got := fields.TextAt(o.Object, "spec", "persistentVolumeReclaimPolicy"); got != "Retain" || fields.Annotation(o, api.OriginalPolicyKey) != "Delete" {
				t.Errorf("%s, in the %s: policy %s, was %s", c.what, where, got, fields.Annotation(o, api.OriginalPolicyKey))
			}
		}
	}
	if _, _, err := backUp(t, s.actions, "03-pv-backup", volume("gone", "Delete", "move"), migration); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a volume that is not there: %v", err)
	}
}
