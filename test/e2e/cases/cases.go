// Package cases has the end-to-end tests that hold for every release of Velero.
// A test package for each release runs them with its server.
package cases

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/app"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// testTimeout bounds a whole test: a plugin that hangs must not stop the run.
const testTimeout = 3 * time.Minute

// BackupAndRestore takes an application through its whole life: backed up,
// looked at, lost, restored, and the backup deleted again.
func BackupAndRestore(t *testing.T, servers *stack.Stack) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	store, cluster, velero := servers.MinIO(t), servers.ControlPlane(t), servers.Velero(t)
	from := logEnd(t, velero)
	bucket := store.NewBucket(t)
	location := newLocation(t, velero, store.S3Location("whole-life", bucket))
	shop, before := newApplication(ctx, t, cluster, "whole-life")
	// Velero looks for new kinds every five minutes.
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}

	backup, err := velero.Backup(ctx, "whole-life", map[string]any{
		"includedNamespaces": []any{shop.Namespace}, "storageLocation": location,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)
	if n := bucketObjects(ctx, t, store, bucket); n == 0 {
		t.Fatal("the bucket is empty after the backup")
	}

	// Both fetch what Velero stored through URLs that the plugin signed. Old
	// releases do not take the certificate authority from the location.
	description := mustRun(ctx, t, velero, "backup", "describe", "whole-life", "--details", "--cacert", store.CAFile)
	for name := range before {
		_, object, _ := strings.Cut(name, "/")
		if !strings.Contains(description, object) {
			t.Errorf("the description does not list %s", name)
		}
	}
	logs := mustRun(ctx, t, velero, "backup", "logs", "whole-life", "--cacert", store.CAFile)
	if !strings.Contains(logs, "Backed up a total of") {
		t.Errorf("the backup's log has no last line:\n%.2000s", logs)
	}

	if err := shop.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	restore, err := velero.Restore(ctx, "whole-life", map[string]any{"backupName": "whole-life"})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, restore)
	mustBeIdentical(ctx, t, shop, before)

	if err := velero.DeleteBackup(ctx, "whole-life"); err != nil {
		t.Fatal(err)
	}
	if n := bucketObjects(ctx, t, store, bucket); n != 0 {
		t.Errorf("%d objects are left in the bucket after the backup's deletion", n)
	}
	mustHaveCleanLog(ctx, t, velero, from)
}

// BackupIsFoundInTheBucket forgets a backup and expects Velero to find it again
// by listing the bucket.
func BackupIsFoundInTheBucket(t *testing.T, servers *stack.Stack) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	store, cluster, velero := servers.MinIO(t), servers.ControlPlane(t), servers.Velero(t)
	from := logEnd(t, velero)
	bucket := store.NewBucket(t)
	first := store.S3Location("first", bucket)
	first.Prefix = "clusters/one"
	location := newLocation(t, velero, first)
	namespace := cluster.NewNamespace(t)
	backup, err := velero.Backup(ctx, "forgotten", map[string]any{
		"includedNamespaces": []any{namespace}, "storageLocation": location,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)

	// The command deletes the backups in the cluster as well, not in the bucket.
	mustRun(ctx, t, velero, "backup-location", "delete", location, "--confirm")
	if err := velero.AwaitBackup(ctx, "forgotten", false); err != nil {
		t.Fatal(err)
	}
	second := first
	second.Name = "second"
	newLocation(t, velero, second)
	// Velero looks for new backups when it starts, and every minute.
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := velero.AwaitBackup(ctx, "forgotten", true); err != nil {
		t.Fatal(err)
	}
	mustHaveCleanLog(ctx, t, velero, from)
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

func bucketObjects(ctx context.Context, t *testing.T, store *stack.MinIO, bucket string) int {
	t.Helper()
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for object := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		n++
	}
	return n
}
