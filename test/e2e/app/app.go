// Package app is an application to back up and restore: workloads, services,
// access rules, configuration, secrets with binary data, custom resources with
// their definition, text in many scripts, and objects close to the size limit
// of the API server. It takes snapshots of all that is in the cluster of it
// and compares them.
package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// App is the application in one namespace.
type App struct {
	Namespace string

	dynamic   dynamic.Interface
	discovery discovery.DiscoveryInterface
}

// New returns the application for a namespace that does not exist yet. The
// cluster-scoped objects carry the namespace in their names, so that several
// can be in one cluster.
func New(config *rest.Config, namespace string) (*App, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &App{Namespace: namespace, dynamic: objects, discovery: kinds}, nil
}

// parallel is the number of objects that are created at the same time.
const parallel = 8

// Create creates all objects and waits until the controllers have made the
// pods.
func (a *App) Create(ctx context.Context) error {
	if err := a.CreateFoundations(ctx); err != nil {
		return err
	}
	return a.CreateContent(ctx)
}

// CreateFoundations creates the namespace, the kind of the custom resources and
// the other cluster-scoped objects. A Velero server that was started before
// does not know the kind for up to five minutes.
func (a *App) CreateFoundations(ctx context.Context) error {
	if err := a.createAll(ctx, a.foundations()); err != nil {
		return err
	}
	return a.awaitKind(ctx)
}

// CreateContent creates the objects in the namespace.
func (a *App) CreateContent(ctx context.Context) error {
	if err := a.createAll(ctx, a.objects()); err != nil {
		return err
	}
	return stack.Await(ctx, func() error { return a.settled(ctx) })
}

func (a *App) createAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	mapper, err := a.mapper()
	if err != nil {
		return err
	}
	work := make(chan *unstructured.Unstructured)
	failures := make([]error, parallel)
	var workers sync.WaitGroup
	for i := range parallel {
		workers.Go(func() {
			for object := range work {
				failures[i] = errors.Join(failures[i], a.create(ctx, mapper, object))
			}
		})
	}
	for _, object := range objects {
		work <- object
	}
	close(work)
	workers.Wait()
	return errors.Join(failures...)
}

func (a *App) create(ctx context.Context, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	client, err := a.client(mapper, object)
	if err != nil {
		return err
	}
	_, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: "demo"})
	if err != nil {
		return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

func (a *App) client(mapper meta.RESTMapper, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	resource := a.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return resource.Namespace(a.Namespace), nil
	}
	return resource, nil
}

func (a *App) mapper() (meta.RESTMapper, error) {
	groups, err := restmapper.GetAPIGroupResources(a.discovery)
	if err != nil {
		return nil, err
	}
	return restmapper.NewDiscoveryRESTMapper(groups), nil
}

// awaitKind waits until the API server serves the custom resource.
func (a *App) awaitKind(ctx context.Context) error {
	return stack.Await(ctx, func() error {
		_, err := a.dynamic.Resource(orderResource(a.Namespace)).Namespace(a.Namespace).List(ctx, metav1.ListOptions{})
		return err
	})
}

// settled is an error until the controllers have made all pods.
func (a *App) settled(ctx context.Context) error {
	pods, err := a.dynamic.Resource(podResource).Namespace(a.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) != podCount {
		return fmt.Errorf("%d of %d pods exist", len(pods.Items), podCount)
	}
	for _, resource := range workloadResources {
		found, err := a.dynamic.Resource(resource).Namespace(a.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range found.Items {
			object := &found.Items[i]
			if observedGeneration(object) < object.GetGeneration() {
				return fmt.Errorf("%s %s is not reconciled", object.GetKind(), object.GetName())
			}
		}
	}
	return nil
}

func observedGeneration(object *unstructured.Unstructured) int64 {
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil || !found {
		return 0
	}
	return observed
}

// Delete removes every object, as a careless admin would: the namespace and
// all cluster-scoped objects, the definition of the custom resource among
// them. It waits until all are gone.
func (a *App) Delete(ctx context.Context) error {
	mapper, err := a.mapper()
	if err != nil {
		return err
	}
	// The namespace goes first: the deletion of the definition would otherwise
	// compete with it for the custom resources.
	objects := append([]*unstructured.Unstructured{a.namespace()}, a.clusterScoped()...)
	for _, object := range objects {
		client, err := a.client(mapper, object)
		if err != nil {
			return err
		}
		err = client.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		err = stack.Await(ctx, func() error {
			_, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("%s %s is still there", object.GetKind(), object.GetName())
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// key names an object in a snapshot.
func key(object *unstructured.Unstructured) string {
	group, _, grouped := strings.Cut(object.GetAPIVersion(), "/")
	if !grouped {
		group = ""
	}
	if group != "" {
		group = "." + group
	}
	return object.GetKind() + group + "/" + object.GetName()
}
