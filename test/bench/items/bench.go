package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const (
	namespace = "many"
	location  = "default"
	bucket    = "items"
)

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
type bench struct {
	plugin  string // the measured one, as built
	cluster *stack.ControlPlane
	velero  *stack.Velero
}

func prepare(ctx context.Context, servers *stack.Stack, plugins string) (*bench, error) {
	store, err := servers.StartMinIO(ctx, stack.MinIOOptions{})
	if err != nil {
		return nil, err
	}
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		return nil, err
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return nil, err
	}
	b := &bench{plugin: filepath.Join(plugins, measured)}
	if b.cluster, err = servers.StartControlPlane(ctx); err != nil {
		return nil, err
	}
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	b.velero, err = servers.StartVelero(ctx, b.cluster, stack.VeleroOptions{
		Plugins:   []string{filepath.Join(plugins, storePlugin)},
		Flags:     []string{"--client-qps=500", "--client-burst=500", "--log-level=info"},
		Locations: []stack.Location{store.S3Location(location, bucket)},
	})
	return b, err
}

// fill creates the objects, twenty at a time.
func (b *bench) fill(ctx context.Context) error {
	if err := b.cluster.CreateNamespace(ctx, namespace); err != nil {
		return err
	}
	slots := make(chan struct{}, 20)
	var done sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	for _, k := range kinds {
		client := b.cluster.Dynamic.Resource(k.resource).Namespace(namespace)
		for i := range k.n {
			object := &unstructured.Unstructured{Object: map[string]any{}}
			object.SetGroupVersionKind(k.resource.GroupVersion().WithKind(k.kind))
			object.SetName(fmt.Sprintf("object-%d", i))
			k.fill(object.Object)
			slots <- struct{}{}
			done.Go(func() {
				defer func() { <-slots }()
				if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			})
		}
	}
	done.Wait()
	return errors.Join(failures...)
}

// read backs the namespace up and restores it under another name.
func (b *bench) read(ctx context.Context, round int, plugin bool) (reading, error) {
	if err := b.restart(ctx, plugin); err != nil {
		return reading{}, err
	}
	name := fmt.Sprintf("round-%d-%t", round+1, plugin)
	start := time.Now()
	backup, err := b.velero.Backup(ctx, name, map[string]any{"includedNamespaces": []any{namespace}, "storageLocation": location})
	if err := completed(backup, err); err != nil {
		return reading{}, err
	}
	r := reading{backup: time.Since(start)}
	start = time.Now()
	restore, err := b.velero.Restore(ctx, name, map[string]any{"backupName": name, "namespaceMapping": map[string]any{namespace: name}})
	if err := completed(restore, err); err != nil {
		return reading{}, err
	}
	r.restore = time.Since(start)
	if err := b.complete(ctx, name); err != nil {
		return reading{}, err
	}
	return r, b.cluster.DeleteNamespace(ctx, name)
}

// complete checks that all objects are in a namespace.
func (b *bench) complete(ctx context.Context, namespace string) error {
	for _, k := range kinds {
		list, err := b.cluster.Dynamic.Resource(k.resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) < k.n {
			return fmt.Errorf("%d of %d %s were restored", len(list.Items), k.n, k.resource.Resource)
		}
	}
	return nil
}

// restart restarts Velero with or without the plugin.
func (b *bench) restart(ctx context.Context, plugin bool) error {
	path := filepath.Join(b.velero.PluginDir, measured)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if plugin {
		program, err := os.ReadFile(b.plugin)
		if err != nil {
			return fmt.Errorf("%w; build the plugins with make build", err)
		}
		if err := os.WriteFile(path, program, 0o755); err != nil {
			return err
		}
	}
	return b.velero.Restart(ctx)
}

func completed(object *unstructured.Unstructured, err error) error {
	if err == nil && stack.Phase(object) != "Completed" {
		err = fmt.Errorf("%s %s is %s: %v", object.GetKind(), object.GetName(), stack.Phase(object), object.Object["status"])
	}
	return err
}
