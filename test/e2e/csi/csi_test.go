// Package csi backs up and restores claims whose data is in CSI snapshots, with
// the real Velero server, the real CSI controllers and a driver whose volumes are
// folders. The server's own actions do the work: those are in it from Velero 1.14.
package csi

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

var release = tools.ReleaseFlag()

var servers stack.Stack

func TestMain(m *testing.M) {
	flag.Parse()
	servers.Main(m, slices.Concat(tools.Core(), release.Tools(), []tools.Tool{tools.Storage})...)
}

// A claim that is lost with its namespace is restored into it, and into another
// namespace, with the bytes that it had when it was backed up. The deletion of the
// backup deletes its snapshots from the storage.
func TestClaimIsRestoredFromItsSnapshot(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	store, cluster := servers.MinIO(t), servers.ControlPlane(t)
	storage, err := servers.StartStorage(ctx, cluster, stack.StorageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(storage.Stop)
	storage.Attach(t)
	velero, err := servers.StartVelero(ctx, cluster, stack.VeleroOptions{
		Server:    release.Server(),
		Plugins:   []string{stack.BuiltPlugin("../../..", "velero-plugin-for-aws")},
		Flags:     []string{"--features=EnableCSI"},
		Locations: []stack.Location{store.S3Location("csi", store.NewBucket(t))},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(velero.Stop)

	const namespace, claim, file = "csi-app", "data", "file"
	if err := cluster.CreateNamespace(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	if err := createClaim(ctx, cluster, namespace, claim); err != nil {
		t.Fatal(err)
	}
	content := []byte("backed up\x00\xff")
	writeFile(ctx, t, storage, namespace, claim, file, content)
	backup, err := velero.Backup(ctx, "csi", map[string]any{"includedNamespaces": []any{namespace}, "storageLocation": "csi"})
	if err != nil || stack.Phase(backup) != "Completed" {
		t.Fatalf("the backup: %v, %v", backup, err)
	}
	writeFile(ctx, t, storage, namespace, claim, file, []byte("written after the backup"))
	if snapshots := storage.Driver.Snapshots(); len(snapshots) != 1 {
		t.Fatalf("the storage has the snapshots %v", snapshots)
	}

	if err := cluster.DeleteNamespace(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	for name, mapped := range map[string]string{"same-namespace": namespace, "other-namespace": "csi-copy"} {
		restore, err := velero.Restore(ctx, name, map[string]any{
			"backupName": "csi", "namespaceMapping": map[string]any{namespace: mapped},
		})
		if err != nil || stack.Phase(restore) != "Completed" {
			t.Fatalf("the restore %s: %v, %v", name, restore, err)
		}
		folder, err := storage.VolumeFolder(ctx, mapped, claim)
		if err != nil {
			t.Fatal(err)
		}
		restored, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil || !slices.Equal(restored, content) {
			t.Errorf("%s: restored %q, %v", name, restored, err)
		}
	}

	if err := velero.DeleteBackup(ctx, "csi"); err != nil {
		t.Fatal(err)
	}
	err = stack.Await(ctx, func() error {
		if left := storage.Driver.Snapshots(); len(left) > 0 {
			return fmt.Errorf("the storage still has the snapshots %v", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func createClaim(ctx context.Context, cluster *stack.ControlPlane, namespace, name string) error {
	class := stack.StorageClass
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	_, err := cluster.Kubernetes.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, claim, metav1.CreateOptions{})
	return err
}

func writeFile(ctx context.Context, t *testing.T, storage *stack.Storage, namespace, claim, name string, content []byte) {
	t.Helper()
	folder, err := storage.VolumeFolder(ctx, namespace, claim)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}
