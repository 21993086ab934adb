package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/app"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const (
	namespace = "shop"
	bucket    = "backups"
	backup    = "demo"
)

// settleTime is what controllers may take to adopt restored objects.
const settleTime = 20 * time.Second

// demo is one run.
type demo struct {
	servers *stack.Stack
	plugin  string
	start   time.Time

	store   *stack.MinIO
	cluster *stack.ControlPlane
	velero  *stack.Velero
	shop    *app.App

	before app.Snapshot
}

func (d *demo) run(ctx context.Context) error {
	fmt.Printf("plugin   %s\nservers  isolated by: %s\n\n", pluginVersion(ctx, d.plugin), d.servers.Isolation())
	steps := []struct {
		what string
		do   func(context.Context) (string, error)
	}{
		{"start the servers", d.startServers},
		{"look at the application", d.look},
		{"back up", d.backUp},
		{"lose the application", d.lose},
		{"restore", d.restore},
		{"compare", d.compare},
		{"check Velero's log", d.checkLog},
	}
	for _, step := range steps {
		began := time.Now()
		result, err := step.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Printf("%5.1f s  %-24s %s\n", time.Since(began).Seconds(), step.what, result)
	}
	fmt.Printf("%5.1f s  in all\n\nidentical: %d of %d\n", time.Since(d.start).Seconds(), len(d.before), len(d.before))
	return nil
}

// startServers starts all servers and, beside Velero's start, creates the
// application.
func (d *demo) startServers(ctx context.Context) (string, error) {
	err := both(
		func() error { return d.startCluster(ctx) },
		func() error { return d.startStore(ctx) },
	)
	if err != nil {
		return "", err
	}
	err = both(
		func() error { return d.shop.CreateContent(ctx) },
		func() (err error) {
			location := d.store.S3Location("default", bucket)
			location.Default = true
			d.velero, err = d.servers.StartVelero(ctx, d.cluster,
				stack.VeleroOptions{Plugins: []string{d.plugin}, Locations: []stack.Location{location}})
			return err
		},
	)
	if err != nil {
		return "", err
	}
	return "control plane, MinIO, Velero", nil
}

// look remembers the application as it is before the backup.
func (d *demo) look(ctx context.Context) (_ string, err error) {
	if d.before, err = d.shop.Snapshot(ctx); err != nil {
		return "", err
	}
	if err := d.shop.Contains(d.before); err != nil {
		return "", err
	}
	size, err := d.before.Bytes()
	return fmt.Sprintf("%q: %d objects of %d kinds, %s", namespace, len(d.before), d.before.Kinds(), mebibytes(size)), err
}

// startCluster leaves the kinds of the application in the new cluster: Velero
// sees those that are there when it starts.
func (d *demo) startCluster(ctx context.Context) (err error) {
	if d.cluster, err = d.servers.StartControlPlane(ctx); err != nil {
		return err
	}
	if d.shop, err = app.New(d.cluster.Config, namespace); err != nil {
		return err
	}
	return d.shop.CreateFoundations(ctx)
}

func (d *demo) startStore(ctx context.Context) error {
	store, err := d.servers.StartMinIO(ctx, stack.MinIOOptions{TLSOnly: true})
	if err != nil {
		return err
	}
	d.store = store
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		return err
	}
	return client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: stack.Region})
}

func (d *demo) backUp(ctx context.Context) (string, error) {
	object, err := d.velero.Backup(ctx, backup, map[string]any{"includedNamespaces": []any{namespace}})
	if err != nil {
		return "", err
	}
	if err := d.completed(ctx, "backup", object); err != nil {
		return "", err
	}
	items, _, _ := unstructured.NestedInt64(object.Object, "status", "progress", "itemsBackedUp")
	objects, size, err := d.bucketContent(ctx)
	return fmt.Sprintf("%d items; %s in %d objects in the bucket", items, mebibytes(size), objects), err
}

func (d *demo) bucketContent(ctx context.Context) (objects int, size int64, err error) {
	client, err := d.store.Client(d.store.TLSEndpoint)
	if err != nil {
		return 0, 0, err
	}
	for object := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return 0, 0, object.Err
		}
		objects++
		size += object.Size
	}
	return objects, size, nil
}

func (d *demo) lose(ctx context.Context) (string, error) {
	if err := d.shop.Delete(ctx); err != nil {
		return "", err
	}
	return "namespace, cluster roles and resource definition deleted", nil
}

func (d *demo) restore(ctx context.Context) (string, error) {
	object, err := d.velero.Restore(ctx, backup, map[string]any{"backupName": backup})
	if err != nil {
		return "", err
	}
	if err := d.completed(ctx, "restore", object); err != nil {
		return "", err
	}
	items, _, _ := unstructured.NestedInt64(object.Object, "status", "progress", "itemsRestored")
	return fmt.Sprintf("%d items", items), nil
}

// completed returns an error with Velero's own description, fetched through
// the plugin's signed URLs, unless the object's phase is Completed.
func (d *demo) completed(ctx context.Context, kind string, object *unstructured.Unstructured) error {
	phase := stack.Phase(object)
	if phase == "Completed" {
		return nil
	}
	text, err := d.velero.CLI(ctx, kind, "describe", object.GetName(), "--details")
	return errors.Join(fmt.Errorf("the %s is %s:\n%s", kind, phase, text), err)
}

func (d *demo) compare(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	differences, err := d.shop.AwaitIdentical(ctx, d.before)
	if err != nil {
		return "", err
	}
	if len(differences) > 0 {
		var text strings.Builder
		for _, difference := range differences {
			fmt.Fprintln(&text, difference)
		}
		return "", fmt.Errorf("%d objects differ\n%s\nidentical: %d of %d", len(differences), text.String(),
			max(0, len(d.before)-len(differences)), len(d.before))
	}
	return fmt.Sprintf("%d objects, every field but those that --ignored lists", len(d.before)), nil
}

// checkLog stops Velero and checks that all plugin processes ended by
// themselves, without an error.
func (d *demo) checkLog(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	runs, err := d.velero.PluginRuns(ctx, 0)
	switch {
	case err != nil:
		return "", err
	case len(runs.Faults) > 0:
		return "", errors.New(strings.Join(runs.Faults, "\n"))
	case runs.Started == 0:
		return "", errors.New("no plugin process was started")
	}
	return fmt.Sprintf("%d plugin processes started, %d ended by themselves, none is left; no error line", runs.Started, runs.Ended), nil
}

// both runs two functions at the same time.
func both(first, second func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- first() }()
	err := second()
	return errors.Join(<-failed, err)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
