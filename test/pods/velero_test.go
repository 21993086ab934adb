package pods

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// TestVolumesThroughVeleroInPods installs Velero with the plugin's image, and
// loses and restores a pod with its volumes, which the node agent's kopia keeps
// in the bucket.
func TestVolumesThroughVeleroInPods(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	start := time.Now()
	node, cluster, store := servers.Node(t), servers.ControlPlane(t), servers.MinIO(t)
	velero := installVelero(ctx, t, node, store)
	t.Logf("Velero runs in its pod and its location is available after %.1f s", time.Since(start).Seconds())

	plugins, err := velero.CLI(ctx, "plugin", "get")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(strings.Split(plugins, "\n"), func(line string) bool {
		return slices.Equal(strings.Fields(line), []string{"velero.io/aws", "ObjectStore"})
	}) {
		t.Errorf("Velero does not list velero.io/aws:\n%s", plugins)
	}

	const namespace = "diary"
	files := createDiary(ctx, t, node, cluster, namespace)
	before := sums(t, files)
	backup, err := velero.Backup(ctx, namespace, map[string]any{
		"includedNamespaces": []any{namespace}, "defaultVolumesToFsBackup": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)
	mustHaveMovedVolumes(ctx, t, velero, "podvolumebackups")

	loseDiary(ctx, t, cluster, namespace, files)
	// Velero restores the claim, and leaves it to the cluster to find a volume.
	files = map[string]string{"data": filepath.Join(createVolume(ctx, t, node, cluster, "diary-after"), fileName)}
	restore, err := velero.Restore(ctx, namespace, map[string]any{"backupName": namespace})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, restore)
	mustHaveMovedVolumes(ctx, t, velero, "podvolumerestores")
	pod, err := node.AwaitPod(ctx, namespace, "diary", stack.Running)
	if err != nil {
		t.Fatal(err)
	}
	files["cache"] = filepath.Join(node.EmptyDir(pod, "cache"), fileName)
	after := sums(t, files)
	for volume, sum := range before {
		if after[volume] != sum {
			t.Errorf("volume %s: sha256 %s before, %s after", volume, sum, after[volume])
		}
	}
}

func installVelero(ctx context.Context, t *testing.T, node *stack.Node, store *stack.MinIO) *stack.VeleroClient {
	t.Helper()
	endpoint, err := node.Expose(store.TLSEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	location := store.S3Location("default", store.NewBucket(t))
	location.Config["s3Url"] = endpoint
	velero, err := node.InstallVelero(ctx, stack.VeleroInPods{
		Plugins:  []string{addPluginImage(ctx, t, node, "Dockerfile.aws", awsPlugin)},
		Location: location,
	})
	if err != nil {
		t.Fatal(err)
	}
	return velero
}

const (
	fileName = "entries"
	fileSize = 5 << 20
)

// createDiary creates a pod with an emptyDir and a persistent volume, writes a
// file to each and returns the files' paths on the node, by volume.
func createDiary(ctx context.Context, t *testing.T, node *stack.Node, cluster *stack.ControlPlane, namespace string) map[string]string {
	t.Helper()
	if err := cluster.CreateNamespace(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	folder := createVolume(ctx, t, node, cluster, "diary-before")
	createClaim(ctx, t, cluster, namespace)
	createPod(ctx, t, cluster, namespace, "diary", corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "diary", Image: node.PauseImage(),
			VolumeMounts: []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}, {Name: "data", MountPath: "/data"}},
		}},
		Volumes: []corev1.Volume{
			{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
			}},
		},
	})
	pod, err := node.AwaitPod(ctx, namespace, "diary", stack.Running)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"cache": filepath.Join(node.EmptyDir(pod, "cache"), fileName),
		"data":  filepath.Join(folder, fileName),
	}
	for _, file := range files {
		content := make([]byte, fileSize)
		_, _ = rand.Read(content) // never fails
		if err := os.WriteFile(file, content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// createVolume creates a persistent volume and returns its folder on the node.
func createVolume(ctx context.Context, t *testing.T, node *stack.Node, cluster *stack.ControlPlane, name string) string {
	t.Helper()
	folder, err := node.NewVolumeFolder()
	if err != nil {
		t.Fatal(err)
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      volumeSize(),
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{stack.NodeName},
				}}}},
			}},
		},
	}
	if _, err := cluster.Kubernetes.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return folder
}

func createClaim(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, namespace string) {
	t.Helper()
	class := ""
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: volumeSize()},
		},
	}
	if _, err := cluster.Kubernetes.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func volumeSize() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Mi")}
}

// loseDiary deletes the namespace with all in it, and what its volumes keep.
func loseDiary(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, namespace string, files map[string]string) {
	t.Helper()
	if err := cluster.DeleteNamespace(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files["data"]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(files["cache"]); !os.IsNotExist(err) {
		t.Fatalf("the emptyDir outlasts its pod: %v", err)
	}
}

func sums(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for volume, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		sums[volume] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return sums
}

func mustComplete(ctx context.Context, t *testing.T, velero *stack.VeleroClient, object *unstructured.Unstructured) {
	t.Helper()
	if phase := stack.Phase(object); phase != "Completed" {
		kind := strings.ToLower(object.GetKind())
		description, err := velero.CLI(ctx, kind, "describe", object.GetName(), "--details")
		logs, logsErr := velero.CLI(ctx, kind, "logs", object.GetName())
		t.Fatalf("%s %s is %s\n%s\n%v\n%s\n%v", kind, object.GetName(), phase, description, err, logs, logsErr)
	}
}

// mustHaveMovedVolumes checks that the node agent moved the content of both
// volumes, one way or the other.
func mustHaveMovedVolumes(ctx context.Context, t *testing.T, velero *stack.VeleroClient, plural string) {
	t.Helper()
	moved, err := velero.Resource(plural).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var volumes []string
	for i := range moved.Items {
		volume, _, _ := unstructured.NestedString(moved.Items[i].Object, "spec", "volume")
		bytes, _, _ := unstructured.NestedInt64(moved.Items[i].Object, "status", "progress", "bytesDone")
		if phase := stack.Phase(&moved.Items[i]); phase != "Completed" || bytes != fileSize {
			t.Errorf("%s of volume %s is %s with %d bytes", plural, volume, phase, bytes)
		}
		volumes = append(volumes, volume)
	}
	slices.Sort(volumes)
	if !slices.Equal(volumes, []string{"cache", "data"}) {
		t.Errorf("%s of the volumes %v", plural, volumes)
	}
}
