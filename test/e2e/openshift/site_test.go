package openshift

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	fakes "github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// site is a cluster of OpenShift.
type site struct {
	t       *testing.T
	cluster *stack.ControlPlane
}

// newSite makes a cluster one of OpenShift whose registry has that host.
func newSite(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, host string) site {
	t.Helper()
	if err := fakes.Install(ctx, cluster.Dynamic); err != nil {
		t.Fatal(err)
	}
	s := site{t, cluster}
	s.create(ctx, "cluster.yaml", "HOST", host)
	return s
}

// create makes the objects of a file in which words are replaced. The owners of
// an object are before it in the file, and their UIDs are filled in.
func (s site) create(ctx context.Context, file string, replace ...string) []*unstructured.Unstructured {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		s.t.Fatal(err)
	}
	var made []*unstructured.Unstructured
	for part := range strings.SplitSeq(strings.NewReplacer(replace...).Replace(string(text)), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &object.Object); err != nil {
			s.t.Fatalf("%v in %s", err, part)
		}
		object.SetOwnerReferences(withUIDs(object.GetOwnerReferences(), made))
		created, err := s.resource(object.GroupVersionKind(), object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{})
		if err != nil {
			s.t.Fatalf("%s: %v", name(object), err)
		}
		made = append(made, created)
	}
	return made
}

func withUIDs(owners []metav1.OwnerReference, made []*unstructured.Unstructured) []metav1.OwnerReference {
	for i := range owners {
		for _, object := range made {
			if object.GetKind() == owners[i].Kind && object.GetName() == owners[i].Name {
				owners[i].UID = object.GetUID()
			}
		}
	}
	return owners
}

// find returns the object in a namespace, or nil when there is none. Those that
// are in no namespace stay so.
func (s site) find(ctx context.Context, like *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
	s.t.Helper()
	if like.GetNamespace() == "" {
		namespace = ""
	}
	list, err := s.resource(like.GroupVersionKind(), namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + like.GetName()})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0]
}

func (s site) resource(kind schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	plural := strings.ToLower(kind.Kind)
	if !strings.HasSuffix(plural, "s") {
		plural += "s"
	}
	return s.cluster.Dynamic.Resource(kind.GroupVersion().WithResource(plural)).Namespace(namespace)
}

// name is that of an object in the golden files. Two groups have role bindings.
func name(object *unstructured.Unstructured) string {
	kind := object.GetKind()
	if kind == "RoleBinding" {
		kind += "." + object.GroupVersionKind().Group
	}
	return fmt.Sprintf("%s %s", kind, object.GetName())
}
