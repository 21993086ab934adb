package main

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/kubevirt"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

var servers stack.Stack

// TestMain leaves the servers out where inputs are tried by the million.
func TestMain(m *testing.M) {
	flag.Parse()
	if fuzz := flag.Lookup("test.fuzz"); fuzz.Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		os.Exit(m.Run())
	}
	servers.Main(m, tools.ControlPlane)
}

// site is a namespace of the test stack's cluster, with the kinds of KubeVirt.
type site struct {
	t         *testing.T
	cluster   *stack.ControlPlane
	namespace string
	sent      *recorder.Sent
	change    func(*rest.Config)
}

var installed sync.Mutex // held while kinds are defined

func newSite(t *testing.T) site {
	t.Helper()
	cluster := servers.ControlPlane(t)
	installed.Lock()
	defer installed.Unlock()
	if err := kubevirt.Install(t.Context(), cluster.Dynamic); err != nil {
		t.Fatal(err)
	}
	return site{t: t, cluster: cluster, namespace: cluster.NewNamespace(t), sent: &recorder.Sent{}, change: func(*rest.Config) {}}
}

// fresh returns the site with a new namespace.
func (s site) fresh(t *testing.T) site {
	t.Helper()
	s.t, s.namespace = t, s.cluster.NewNamespace(t)
	return s
}

// in puts the name of the site's namespace in place of NS.
func (s site) in(text string) string { return strings.ReplaceAll(text, "NS", s.namespace) }

// actions returns actions that have looked up nothing yet.
func (s site) actions() *actions {
	config := rest.CopyConfig(s.cluster.Config)
	config.QPS, config.Burst = 1000, 1000
	config.Wrap(s.sent.Transport)
	s.change(config)
	return newActions(kube.New(func() (*rest.Config, error) { return config, nil }))
}

// create makes the objects of a YAML stream, with their status.
func (s site) create(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var created []*unstructured.Unstructured
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n---\n") {
		o := parse(t, part)
		if o.GetNamespace() == "" {
			o.SetNamespace(s.namespace)
		}
		client := s.resource(t, o)
		made, err := client.Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if status := o.Object["status"]; status != nil {
			made.Object["status"] = status
			if made, err = client.UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
				t.Fatalf("%v in the status of\n%s", err, part)
			}
		}
		created = append(created, made)
	}
	return created
}

// get reads an object.
func (s site) get(t *testing.T, version, kind, name string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(version)
	o.SetKind(kind)
	o.SetNamespace(s.namespace)
	found, err := s.resource(t, o).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (s site) resource(t *testing.T, o *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	group := o.GroupVersionKind().GroupKind()
	resource, ok := kubevirt.Resource(group)
	if !ok {
		resource = schema.GroupVersionResource{Group: group.Group, Version: o.GroupVersionKind().Version, Resource: strings.ToLower(group.Kind) + "s"}
	}
	return s.cluster.Dynamic.Resource(resource).Namespace(o.GetNamespace())
}

// do runs the action of that name, without its prefix.
func do[T any](t testing.TB, a *actions, name string) T {
	t.Helper()
	for _, row := range a.table() {
		if row.name == name {
			return row.do.(T)
		}
	}
	t.Fatalf("there is no action %s", name)
	panic("unreachable")
}

// backUp runs a backup action with a copy of the item.
func backUp(t testing.TB, a *actions, name string, item *unstructured.Unstructured, backup string) (*unstructured.Unstructured, []string, error) {
	t.Helper()
	item = item.DeepCopy()
	result, err := do[backupFunc](t, a, name).run(t.Context(), sdk.BackupInput{Item: item, Backup: newBackup(t, backup)})
	return item, forms(result.AdditionalItems), err
}

// blockOf runs an item block action.
func blockOf(t testing.TB, a *actions, name string, item *unstructured.Unstructured) []string {
	t.Helper()
	before := item.DeepCopy()
	result, err := do[blockFunc](t, a, name).run(t.Context(), sdk.RelatedItemsInput{Item: item, Backup: newBackup(t, "")})
	if err != nil {
		t.Error(err)
	}
	mustEqual(t, "the item of a block", item, before)
	return forms(result.Items)
}

// newBackup returns a Backup with this spec or, if the text has metadata, this
// text.
func newBackup(t testing.TB, text string) sdk.Backup {
	t.Helper()
	if !strings.Contains(text, "metadata:") {
		text = "{metadata: {name: b, namespace: velero, uid: u}, spec: {" + text + "}}"
	}
	return sdk.NewBackup(asJSON(t, text))
}

// restored runs a restore action. archived is the item as it was backed up.
func restored(t testing.TB, name, archived, restore string) (*unstructured.Unstructured, sdk.RestoreResult, error) {
	t.Helper()
	item := parse(t, archived)
	for _, field := range []string{"uid", "ownerReferences", "resourceVersion"} {
		unstructured.RemoveNestedField(item.Object, "metadata", field)
	}
	delete(item.Object, "status")
	if restore == "" {
		restore = "{metadata: {name: r}}"
	}
	result, err := do[restoreFunc](t, newActions(nil), name).run(t.Context(), sdk.RestoreInput{
		Item: item, FromBackup: sdk.NewDocument(asJSON(t, archived)), Restore: sdk.NewRestore(asJSON(t, restore)),
	})
	return item, result, err
}

// forms returns objects as RESOURCE.GROUP/NAMESPACE/NAME.
func forms(all []sdk.ResourceIdentifier) []string {
	var texts []string
	for _, id := range all {
		texts = append(texts, form(id))
	}
	return texts
}

// short leaves out groups and namespaces, for example datavolumes/root.
func short(forms []string) []string {
	var texts []string
	for _, text := range forms {
		resource, rest, _ := strings.Cut(text, "/")
		resource, _, _ = strings.Cut(resource, ".")
		texts = append(texts, resource+rest[strings.LastIndex(rest, "/"):])
	}
	return texts
}

func mustList(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func mustEqual(t testing.TB, what string, got, want *unstructured.Unstructured) {
	t.Helper()
	is, was := asYAML(t, got.Object), asYAML(t, want.Object)
	if is != was {
		t.Errorf("%s: got\n%s\nwant\n%s", what, is, was)
	}
}

func asYAML(t testing.TB, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// asJSON turns YAML into JSON.
func asJSON(t testing.TB, text string) json.RawMessage {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return raw
}

func parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	o, err := sdk.NewDocument(asJSON(t, text)).Object()
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return o.DeepCopy()
}
