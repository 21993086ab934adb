package app

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// Snapshot is the application as the API server has it, by kind and name.
type Snapshot map[string]*unstructured.Unstructured

// passing are kinds that tell of the application and are no part of it: they
// come and go by themselves.
var passing = []string{"events", "endpoints", "endpointslices", "leases"}

// Snapshot lists every object in the namespace, of whatever kind and whoever
// made it, and the cluster-scoped objects of the application.
func (a *App) Snapshot(ctx context.Context) (Snapshot, error) {
	snapshot := Snapshot{}
	resources, err := a.listable()
	if err != nil {
		return nil, err
	}
	for _, resource := range resources {
		found, err := a.dynamic.Resource(resource).Namespace(a.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", resource.Resource, err)
		}
		for i := range found.Items {
			snapshot[key(&found.Items[i])] = &found.Items[i]
		}
	}
	return snapshot, a.addFoundations(ctx, snapshot)
}

// listable returns the kinds of objects that a namespace can hold, each in one
// version.
func (a *App) listable() ([]schema.GroupVersionResource, error) {
	lists, err := discovery.ServerPreferredNamespacedResources(a.discovery)
	if err != nil {
		return nil, err
	}
	lists = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "create"}}, lists)
	found, err := discovery.GroupVersionResources(lists)
	if err != nil {
		return nil, err
	}
	var resources []schema.GroupVersionResource
	for resource := range found {
		if !slices.Contains(passing, resource.Resource) {
			resources = append(resources, resource)
		}
	}
	return resources, nil
}

func (a *App) addFoundations(ctx context.Context, snapshot Snapshot) error {
	mapper, err := a.mapper()
	if err != nil {
		return err
	}
	for _, object := range a.foundations() {
		client, err := a.client(mapper, object)
		if err != nil {
			return err
		}
		found, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return err
		default:
			snapshot[key(found)] = found
		}
	}
	return nil
}

// Kinds is the number of different kinds in the snapshot.
func (s Snapshot) Kinds() int {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, object := range s {
		kinds[object.GroupVersionKind()] = true
	}
	return len(kinds)
}

// Bytes is the size of all objects as JSON.
func (s Snapshot) Bytes() (int64, error) {
	var sum int64
	for _, object := range s {
		text, err := object.MarshalJSON()
		if err != nil {
			return 0, err
		}
		sum += int64(len(text))
	}
	return sum, nil
}

// Contains checks that every object that Create makes is in the snapshot.
func (a *App) Contains(s Snapshot) error {
	for _, object := range append(a.foundations(), a.objects()...) {
		if s[key(object)] == nil {
			return fmt.Errorf("%s is missing", key(object))
		}
	}
	return nil
}
