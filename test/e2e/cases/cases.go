// Package cases has the end-to-end tests that hold for every release of Velero.
// A test package for each release runs them with its server.
package cases

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/app"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// testTimeout bounds a whole test: a plugin that hangs must not stop the run.
const testTimeout = 3 * time.Minute

// BackupAndRestore takes an application through its whole life: backed up,
// looked at, lost, restored, and the backup deleted again.
func BackupAndRestore(t *testing.T, servers *stack.Stack, store Store) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	cluster, velero := servers.ControlPlane(t), servers.Velero(t)
	from := logEnd(t, velero)
	bucket := store.NewBucket(t)
	name := "whole-life-" + store.Name()
	location := newLocation(t, velero, store.Location(name, bucket))
	shop, before := newApplication(ctx, t, cluster, name)
	// Velero looks for new kinds every five minutes.
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}

	backup, err := velero.Backup(ctx, name, map[string]any{
		"includedNamespaces": []any{shop.Namespace}, "storageLocation": location,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)
	if n := objects(ctx, t, store, bucket); n == 0 {
		t.Fatal("the bucket is empty after the backup")
	}

	// Both fetch what Velero stored through URLs that the plugin signed. Old
	// releases do not take the certificate authority from the location.
	description := mustRun(ctx, t, velero, "backup", "describe", name, "--details", "--cacert", store.CAFile())
	for object := range before {
		_, object, _ := strings.Cut(object, "/")
		if !strings.Contains(description, object) {
			t.Errorf("the description does not list %s", object)
		}
	}
	logs := mustRun(ctx, t, velero, "backup", "logs", name, "--cacert", store.CAFile())
	if !strings.Contains(logs, "Backed up a total of") {
		t.Errorf("the backup's log has no last line:\n%.2000s", logs)
	}

	if err := shop.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	restore, err := velero.Restore(ctx, name, map[string]any{"backupName": name})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, restore)
	mustBeIdentical(ctx, t, shop, before)

	if err := velero.DeleteBackup(ctx, name); err != nil {
		t.Fatal(err)
	}
	if n := objects(ctx, t, store, bucket); n != 0 {
		t.Errorf("%d objects are left in the bucket after the backup's deletion", n)
	}
	mustHaveCleanLog(ctx, t, velero, from)
}

// BackupIsFoundInTheBucket forgets a backup and expects Velero to find it again
// by listing the bucket.
func BackupIsFoundInTheBucket(t *testing.T, servers *stack.Stack, store Store) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	cluster, velero := servers.ControlPlane(t), servers.Velero(t)
	from := logEnd(t, velero)
	bucket := store.NewBucket(t)
	name := "forgotten-" + store.Name()
	first := store.Location("first-"+store.Name(), bucket)
	first.Prefix = "clusters/one"
	location := newLocation(t, velero, first)
	namespace := cluster.NewNamespace(t)
	backup, err := velero.Backup(ctx, name, map[string]any{
		"includedNamespaces": []any{namespace}, "storageLocation": location,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)

	// The command deletes the backups in the cluster as well, not in the bucket.
	mustRun(ctx, t, velero, "backup-location", "delete", location, "--confirm")
	if err := velero.AwaitBackup(ctx, name, false); err != nil {
		t.Fatal(err)
	}
	second := first
	second.Name = "second-" + store.Name()
	newLocation(t, velero, second)
	// Velero looks for new backups when it starts, and every minute.
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := velero.AwaitBackup(ctx, name, true); err != nil {
		t.Fatal(err)
	}
	mustHaveCleanLog(ctx, t, velero, from)
}

// BackupWithoutTarball deletes a backup that has no tarball, as one that failed
// before its upload. Since Velero 1.18.1 the server goes on with the deletion only
// if the plugin's error says that the object is absent: the backup is kept as long
// as the store refuses to tell.
func BackupWithoutTarball(t *testing.T, servers *stack.Stack, store Store) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	cluster, velero := servers.ControlPlane(t), servers.Velero(t)
	bucket := store.NewBucket(t)
	name := "no-tarball-" + store.Name()
	location := store.Location(name, bucket)
	refusing := newRefusingProxy(t, store.Endpoint(), name+".tar.gz")
	location.Config[store.AddressKey()] = refusing.address
	newLocation(t, velero, location)
	backup, err := velero.Backup(ctx, name, map[string]any{
		"includedNamespaces": []any{cluster.NewNamespace(t)}, "storageLocation": location.Name,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)
	store.Remove(ctx, t, bucket, "backups/"+name+"/"+name+".tar.gz")

	refusing.on.Store(true)
	failures := failedDeletion(ctx, t, velero, name)
	if !strings.Contains(failures, "403") {
		t.Errorf("the errors of the deletion do not tell what the store answered: %q", failures)
	}
	if err := velero.AwaitBackup(ctx, name, true); err != nil {
		t.Error(err)
	}
	refusing.on.Store(false)
	if err := velero.DeleteBackup(ctx, name); err != nil {
		t.Fatal(err)
	}
	if n := objects(ctx, t, store, bucket); n != 0 {
		t.Errorf("%d objects are left in the bucket after the backup's deletion", n)
	}
}

// failedDeletion asks for the deletion of a backup and returns the errors with which
// Velero gives it up.
func failedDeletion(ctx context.Context, t *testing.T, velero *stack.Velero, backup string) string {
	t.Helper()
	requests := velero.Resource("deletebackuprequests")
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": "DeleteBackupRequest",
		"metadata": map[string]any{"name": backup + "-refused"}, "spec": map[string]any{"backupName": backup},
	}}
	if _, err := requests.Create(ctx, request, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var failures []string
	err := stack.Await(ctx, func() error {
		found, err := requests.Get(ctx, request.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		failures, _, err = unstructured.NestedStringSlice(found.Object, "status", "errors")
		if phase := stack.Phase(found); phase != "Processed" {
			return fmt.Errorf("the request is %s", phase)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(failures, "; ")
}

func newApplication(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, namespace string) (*app.App, app.Snapshot) {
	t.Helper()
	shop, err := app.New(cluster.Config, namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Create(ctx); err != nil {
		t.Fatal(err)
	}
	snapshot, err := shop.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Contains(snapshot); err != nil {
		t.Fatal(err)
	}
	return shop, snapshot
}

// newLocation adds a location for the time of a test. It goes before its
// bucket does, which Velero would report as a fault.
func newLocation(t *testing.T, velero *stack.Velero, location stack.Location) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := velero.AddLocation(ctx, location); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := velero.RemoveLocation(ctx, location.Name); err != nil {
			t.Error(err)
		}
	})
	return location.Name
}

func mustComplete(ctx context.Context, t *testing.T, velero *stack.Velero, object *unstructured.Unstructured) {
	t.Helper()
	if phase := stack.Phase(object); phase != "Completed" {
		kind := strings.ToLower(object.GetKind())
		description, err := velero.CLI(ctx, kind, "describe", object.GetName(), "--details")
		t.Fatalf("%s %s is %s\n%s\n%v", kind, object.GetName(), phase, description, err)
	}
}

func mustRun(ctx context.Context, t *testing.T, velero *stack.Velero, args ...string) string {
	t.Helper()
	out, err := velero.CLI(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustBeIdentical(ctx context.Context, t *testing.T, shop *app.App, before app.Snapshot) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	differences, err := shop.AwaitIdentical(ctx, before)
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differences {
		t.Error(difference)
	}
}

func logEnd(t *testing.T, velero *stack.Velero) int64 {
	t.Helper()
	end, err := velero.LogEnd()
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func mustHaveCleanLog(ctx context.Context, t *testing.T, velero *stack.Velero, from int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	runs, err := velero.PluginRuns(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	if runs.Started == 0 || runs.Started != runs.Ended {
		t.Errorf("%d plugin processes started, %d ended", runs.Started, runs.Ended)
	}
	for _, fault := range runs.Faults {
		t.Error(fault)
	}
}
