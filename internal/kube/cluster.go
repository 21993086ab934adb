package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// pageSize is how many objects one answer to a list holds at most, unless a
// Selection says otherwise; it bounds the memory that a large namespace takes.
const pageSize = 500

// Cluster is a client of the Kubernetes API. It connects on first use. Methods
// are safe for concurrent use.
type Cluster struct {
	connect func() (connection, error)
}

type connection struct {
	config  *rest.Config
	objects dynamic.Interface
	plain   *rest.RESTClient
}

// New returns a client of the cluster that load tells the configuration of. It
// is asked once.
func New(load func() (*rest.Config, error)) *Cluster {
	return &Cluster{connect: sync.OnceValues(func() (connection, error) {
		config, err := load()
		if err != nil {
			return connection{}, noConfig(err)
		}
		return dial(config)
	})}
}

func dial(config *rest.Config) (connection, error) {
	config = dynamic.ConfigFor(config)
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return connection{}, err
	}
	objects, err := dynamic.NewForConfigAndClient(config, transport)
	if err != nil {
		return connection{}, err
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	plain, err := rest.UnversionedRESTClientForConfigAndClient(config, transport)
	return connection{config, objects, plain}, err
}

func (c *Cluster) resource(resource schema.GroupVersionResource, namespace string) (dynamic.ResourceInterface, error) {
	connection, err := c.connect()
	if err != nil {
		return nil, err
	}
	if namespace == "" {
		return connection.objects.Resource(resource), nil
	}
	return connection.objects.Resource(resource).Namespace(namespace), nil
}

// Get reads an object. It is nil when there is no such object, and when the
// cluster does not have its API. No object has the name "".
func (c *Cluster) Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	if name == "" {
		return nil, nil
	}
	client, err := c.resource(resource, namespace)
	if err != nil {
		return nil, err
	}
	var object *unstructured.Unstructured
	err = reading(ctx, func() (err error) {
		object, err = client.Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failure("reading", resource, namespace, name, err)
	}
	return object, nil
}

// Selection limits a list to some of the objects. Its zero value is all.
type Selection struct {
	Labels string // a label selector
	Fields string // a field selector
	Limit  int64  // how many objects at most; 0 is no limit
	Page   int64  // how many objects one answer holds at most; 0 is 500
}

// Each calls visit with the objects of a kind in a namespace, or with those of
// the whole cluster for "". It keeps no more than a page of them. A cluster
// without that API has none.
func (c *Cluster) Each(ctx context.Context, resource schema.GroupVersionResource, namespace string, s Selection, visit func(*unstructured.Unstructured)) error {
	client, err := c.resource(resource, namespace)
	if err != nil {
		return err
	}
	options := metav1.ListOptions{LabelSelector: s.Labels, FieldSelector: s.Fields, Limit: cmp.Or(s.Page, pageSize)}
	if s.Limit > 0 {
		options.Limit = s.Limit
	}
	for {
		var page *unstructured.UnstructuredList
		err := reading(ctx, func() (err error) {
			page, err = client.List(ctx, options)
			return err
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return failure("listing", resource, namespace, "", err)
		}
		for i := range page.Items {
			visit(&page.Items[i])
		}
		next := page.GetContinue()
		if next == "" || next == options.Continue || s.Limit > 0 {
			return nil
		}
		options.Continue = next
	}
}

// metadataOnly asks for the metadata of objects in place of the objects, which
// each API of Kubernetes can leave out before it answers.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

// Names returns the names of the objects of a kind in a namespace, without
// reading the objects. A cluster without that API has none.
func (c *Cluster) Names(ctx context.Context, resource schema.GroupVersionResource, namespace string) (map[string]bool, error) {
	connection, err := c.connect()
	if err != nil {
		return nil, err
	}
	path := []string{"/apis", resource.Group, resource.Version, "namespaces", namespace, resource.Resource}
	if resource.Group == "" {
		path = append([]string{"/api"}, path[2:]...)
	}
	names := map[string]bool{}
	for next := ""; ; {
		var page struct {
			Metadata struct{ Continue string }
			Items    []struct{ Metadata struct{ Name string } }
		}
		err := reading(ctx, func() error {
			request := connection.plain.Get().AbsPath(path...).SetHeader("Accept", metadataOnly).Param("limit", strconv.Itoa(pageSize))
			if next != "" {
				request = request.Param("continue", next)
			}
			body, err := request.DoRaw(ctx)
			if err == nil {
				err = json.Unmarshal(body, &page)
			}
			return err
		})
		if apierrors.IsNotFound(err) {
			return names, nil
		}
		if err != nil {
			return nil, failure("listing", resource, namespace, "", err)
		}
		for _, item := range page.Items {
			names[item.Metadata.Name] = true
		}
		if page.Metadata.Continue == "" || page.Metadata.Continue == next {
			return names, nil
		}
		next = page.Metadata.Continue
	}
}

// Create makes an object in a namespace.
func (c *Cluster) Create(ctx context.Context, resource schema.GroupVersionResource, namespace string, object *unstructured.Unstructured) error {
	client, err := c.resource(resource, namespace)
	if err != nil {
		return err
	}
	if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return failure("creating", resource, namespace, object.GetName(), err)
	}
	return nil
}

// Patch changes the fields of an object that patch has, as a JSON merge patch.
// With a metadata.resourceVersion in it the object must not have changed since.
func (c *Cluster) Patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name string, patch map[string]any) error {
	client, err := c.resource(resource, namespace)
	if err != nil {
		return err
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	if _, err := client.Patch(ctx, name, types.MergePatchType, text, metav1.PatchOptions{}); err != nil {
		return failure("changing", resource, namespace, name, err)
	}
	return nil
}

// Version returns the version of the Kubernetes API, such as 1.31.
func (c *Cluster) Version(ctx context.Context) (Version, error) {
	var answer struct{ Major, Minor, GitVersion string }
	if err := c.read(ctx, "/version", &answer); err != nil {
		return Version{}, err
	}
	return parseVersion(answer.Major, answer.Minor, answer.GitVersion)
}

// Groups returns the API groups that the cluster serves.
func (c *Cluster) Groups(ctx context.Context) (map[string]bool, error) {
	var answer struct{ Groups []struct{ Name string } }
	if err := c.read(ctx, "/apis", &answer); err != nil {
		return nil, err
	}
	groups := make(map[string]bool, len(answer.Groups))
	for _, g := range answer.Groups {
		groups[g.Name] = true
	}
	return groups, nil
}

func (c *Cluster) read(ctx context.Context, path string, into any) error {
	connection, err := c.connect()
	if err != nil {
		return err
	}
	var body []byte
	err = reading(ctx, func() (err error) {
		body, err = connection.plain.Get().AbsPath(path).DoRaw(ctx)
		return err
	})
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return coded("reading "+path, err)
	}
	return nil
}
