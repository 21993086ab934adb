package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/pluginbench"
)

const namespace = "many"

// kinds are what the namespace holds.
var kinds = []struct {
	resource schema.GroupVersionResource
	kind     string
	n        int
	fill     func(object map[string]any)
}{
	{schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, "Secret", 2000, func(o map[string]any) {
		o["stringData"] = map[string]any{"password": "secret"}
	}},
	{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap", 500, func(o map[string]any) {
		o["data"] = map[string]any{"color": "blue"}
	}},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "Deployment", 200, func(o map[string]any) {
		labels := map[string]any{"app": "a"}
		o["spec"] = map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "a", "image": "registry/many/a"}}},
			},
		}
	}},
}

func objects() int {
	total := 0
	for _, k := range kinds {
		total += k.n
	}
	return total
}

// bench is a cluster with the namespace, and Velero.
type bench struct{ *pluginbench.Site }

func prepare(ctx context.Context, servers *stack.Stack, plugins string) (*bench, error) {
	site, err := pluginbench.Start(ctx, servers, plugins, measured, func(cluster *stack.ControlPlane) error { return fill(ctx, cluster) })
	return &bench{site}, err
}

// fill creates the objects.
func fill(ctx context.Context, cluster *stack.ControlPlane) error {
	if err := cluster.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	for _, k := range kinds {
		client := cluster.Dynamic.Resource(k.resource).Namespace(namespace)
		err := pluginbench.Make(k.n, func(i int) error {
			object := &unstructured.Unstructured{Object: map[string]any{}}
			object.SetGroupVersionKind(k.resource.GroupVersion().WithKind(k.kind))
			object.SetName(fmt.Sprintf("object-%d", i))
			k.fill(object.Object)
			_, err := client.Create(ctx, object, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read backs the namespace up and restores it under another name.
func (b *bench) read(ctx context.Context, round int, plugin bool) (reading, error) {
	if err := b.Restart(ctx, plugin); err != nil {
		return reading{}, err
	}
	name := fmt.Sprintf("round-%d-%t", round+1, plugin)
	start := time.Now()
	backup, err := b.Velero.Backup(ctx, name, map[string]any{"includedNamespaces": []any{namespace}, "storageLocation": pluginbench.Location})
	if err := pluginbench.Completed(backup, err); err != nil {
		return reading{}, err
	}
	r := reading{backup: time.Since(start)}
	start = time.Now()
	restore, err := b.Velero.Restore(ctx, name, map[string]any{"backupName": name, "namespaceMapping": map[string]any{namespace: name}})
	if err := pluginbench.Completed(restore, err); err != nil {
		return reading{}, err
	}
	r.restore = time.Since(start)
	if err := b.complete(ctx, name); err != nil {
		return reading{}, err
	}
	return r, b.Cluster.DeleteNamespace(ctx, name)
}

// complete checks that all objects are in a namespace.
func (b *bench) complete(ctx context.Context, namespace string) error {
	for _, k := range kinds {
		list, err := b.Cluster.Dynamic.Resource(k.resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) < k.n {
			return fmt.Errorf("%d of %d %s were restored", len(list.Items), k.n, k.resource.Resource)
		}
	}
	return nil
}
