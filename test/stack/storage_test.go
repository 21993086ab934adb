package stack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/csidriver"
)

// storageCluster is a cluster with storage, which the tests below share.
var storageCluster = sync.OnceValues(func() (*storageUnderTest, error) { return startStorage(stack.StorageOptions{}) })

type storageUnderTest struct {
	*stack.Storage
	cluster *stack.ControlPlane
}

func startStorage(options stack.StorageOptions) (*storageUnderTest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cluster, err := servers.StartControlPlane(ctx)
	if err != nil {
		return nil, err
	}
	storage, err := servers.StartStorage(ctx, cluster, options)
	return &storageUnderTest{storage, cluster}, err
}

// sharedStorage returns the shared storage, without faults.
func sharedStorage(t *testing.T) *storageUnderTest {
	t.Helper()
	storage, err := storageCluster()
	if err != nil {
		t.Fatal(err)
	}
	storage.Attach(t)
	storage.Driver.SetFaults(csidriver.Faults{})
	return storage
}

// A claim that is restored from a snapshot has the bytes, modes and links of the
// instant of the cut.
func TestStorageRestoresBytes(t *testing.T) {
	s := sharedStorage(t)
	namespace := s.cluster.NewNamespace(t)
	source := s.claim(t, namespace, "data", "")
	content := []byte("written before the snapshot\x00\xff")
	write(t, filepath.Join(source, "file"), content)
	if err := os.Chmod(filepath.Join(source, "file"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	handle := s.snapshot(t, namespace, "cut", "data")
	write(t, filepath.Join(source, "file"), []byte("written after the snapshot"))

	restored := s.claim(t, namespace, "restored", "cut")
	got, err := os.ReadFile(filepath.Join(restored, "file"))
	if err != nil || !slices.Equal(got, content) {
		t.Errorf("restored %q, %v in place of %q", got, err, content)
	}
	info, err := os.Stat(filepath.Join(restored, "file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("restored mode %v, %v", info, err)
	}
	if to, err := os.Readlink(filepath.Join(restored, "link")); err != nil || to != "file" {
		t.Errorf("restored link to %q, %v", to, err)
	}

	err = s.cluster.Dynamic.Resource(stack.VolumeSnapshots).Namespace(namespace).Delete(t.Context(), "cut", metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() error {
		if slices.Contains(s.Driver.Snapshots(), handle) {
			return fmt.Errorf("the driver still has %s", handle)
		}
		return nil
	})
}

// Snapshots become ready in the end with each fault that ends.
func TestStorageFaultsThatEnd(t *testing.T) {
	s := sharedStorage(t)
	namespace := s.cluster.NewNamespace(t)
	s.claim(t, namespace, "data", "")
	for name, c := range map[string]struct {
		faults csidriver.Faults
		takes  time.Duration // at least
	}{
		"slow":        {csidriver.Faults{SnapshotTakes: 2 * time.Second}, 2 * time.Second},
		"late-handle": {csidriver.Faults{HandleAfter: 2 * time.Second}, 2 * time.Second},
		"late-ready":  {csidriver.Faults{ReadyAfter: 2 * time.Second}, 2 * time.Second},
		"failing":     {csidriver.Faults{FailSnapshots: 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.Driver.SetFaults(c.faults)
			calls, start := s.Driver.Calls("CreateSnapshot"), time.Now()
			s.snapshot(t, namespace, name, "data")
			if took := time.Since(start); took < c.takes {
				t.Errorf("ready after %v", took)
			}
			if calls = s.Driver.Calls("CreateSnapshot") - calls; c.faults.FailSnapshots > 0 && calls < 2 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

// A snapshot that is cut while the API server dies becomes ready, and is the only
// one of its volume.
func TestStorageOutlivesTheAPIServer(t *testing.T) {
	s := sharedStorage(t)
	namespace := s.cluster.NewNamespace(t)
	s.claim(t, namespace, "data", "")
	s.Driver.SetFaults(csidriver.Faults{SnapshotTakes: 3 * time.Second})
	before := s.Driver.Snapshots() // some may still be going with other tests' namespaces
	added := func() []string {
		return slices.DeleteFunc(s.Driver.Snapshots(), func(id string) bool { return slices.Contains(before, id) })
	}
	s.createSnapshot(t, namespace, "cut", "data")
	await(t, func() error {
		if len(added()) == 0 {
			return errors.New("nothing is cut")
		}
		return nil
	})
	if err := s.cluster.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.readyStatus(t, stack.VolumeSnapshots, namespace, "cut")
	if snapshots := added(); len(snapshots) != 1 {
		t.Errorf("the driver has made %d snapshots", len(snapshots))
	}
}

// A snapshot of a driver that fails for ever has the driver's error and no handle.
func TestStorageFailsForEver(t *testing.T) {
	s := sharedStorage(t)
	namespace := s.cluster.NewNamespace(t)
	s.claim(t, namespace, "data", "")
	s.Driver.SetFaults(csidriver.Faults{FailSnapshots: csidriver.Always, SnapshotError: errors.New("not enough quota")})
	s.createSnapshot(t, namespace, "cut", "data")
	await(t, func() error {
		object, err := s.cluster.Dynamic.Resource(stack.VolumeSnapshots).Namespace(namespace).Get(t.Context(), "cut", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if message, _, _ := unstructured.NestedString(object.Object, "status", "error", "message"); !strings.Contains(message, "not enough quota") {
			return fmt.Errorf("the status has the error %q", message)
		}
		if ready, _, _ := unstructured.NestedBool(object.Object, "status", "readyToUse"); ready {
			t.Error("the snapshot is ready")
		}
		return nil
	})
}

// In a group snapshot all volumes are of one instant: of two counters that a
// writer raises in turn, the first is the second, or one more. The members
// cannot be deleted one by one if the driver refuses that.
func TestStorageGroup(t *testing.T) {
	s := sharedStorage(t)
	namespace := s.cluster.NewNamespace(t)
	folders := []string{s.claim(t, namespace, "first", ""), s.claim(t, namespace, "second", "")}
	stop := s.alternate(t, folders)
	s.createIn(t, stack.VolumeGroupSnapshots, namespace, "VolumeGroupSnapshot", "group", map[string]any{
		"volumeGroupSnapshotClassName": stack.GroupSnapshotClass,
		"source":                       map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"test": "storage"}}},
	})
	status := s.readyStatus(t, stack.VolumeGroupSnapshots, namespace, "group")
	stop()

	content := s.get(t, stack.VolumeGroupSnapshotContents, "", status["boundVolumeGroupSnapshotContentName"].(string))
	members, _, _ := unstructured.NestedSlice(content.Object, "status", "volumeSnapshotInfoList")
	if len(members) != 2 {
		t.Fatalf("the group has the members %v", members)
	}
	counts := map[string]int{}
	for _, member := range members {
		info := member.(map[string]any)
		volume := s.Driver.VolumeFolder(info["volumeHandle"].(string))
		counts[volume] = readCount(t, s.Driver.SnapshotFolder(info["snapshotHandle"].(string)))
	}
	first, second := counts[folders[0]], counts[folders[1]]
	if first == 0 || first != second && first != second+1 {
		t.Errorf("counters %d and %d", first, second)
	}
}

// alternate raises counters in folders in turn, until the returned function is
// called. It returns after the first round.
func (s *storageUnderTest) alternate(t *testing.T, folders []string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var failure error
	round, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; ctx.Err() == nil && failure == nil; n++ {
			for _, folder := range folders {
				failure = errors.Join(failure, s.Driver.WriteData(func() error {
					return os.WriteFile(filepath.Join(folder, "count"), []byte(strconv.Itoa(n)), 0o600)
				}))
			}
			if n == 1 {
				close(round)
			}
		}
	}()
	<-round
	return func() {
		cancel()
		<-ended
		if failure != nil {
			t.Error(failure)
		}
	}
}

func readCount(t *testing.T, folder string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "count"))
	if err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// With distributed snapshotting contents have the label of their node. A content
// for a handle becomes ready only with it and, as the driver lists with a secret
// only, with a class that names the secret.
func TestStorageOfANodeWithListSecret(t *testing.T) {
	s, err := startStorage(stack.StorageOptions{Node: "node-1", ListSecret: "letmelist"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Attach(t)
	namespace := s.cluster.NewNamespace(t)
	write(t, filepath.Join(s.claim(t, namespace, "data", ""), "file"), []byte("content"))
	handle := s.snapshot(t, namespace, "cut", "data")
	bound := s.get(t, stack.VolumeSnapshots, namespace, "cut").Object["status"].(map[string]any)["boundVolumeSnapshotContentName"].(string)
	const managedBy = "snapshot.storage.kubernetes.io/managed-by"
	if node := s.get(t, stack.VolumeSnapshotContents, "", bound).GetLabels()[managedBy]; node != "node-1" {
		t.Errorf("the content is managed by %q", node)
	}

	for _, name := range []string{"without-class", "with-class"} {
		spec := map[string]any{
			"deletionPolicy": "Retain", "driver": stack.StorageDriver,
			"source":            map[string]any{"snapshotHandle": handle},
			"volumeSnapshotRef": map[string]any{"namespace": namespace, "name": name},
		}
		source := map[string]any{"source": map[string]any{"volumeSnapshotContentName": name}}
		if name == "with-class" {
			spec["volumeSnapshotClassName"], source["volumeSnapshotClassName"] = stack.SnapshotClass, stack.SnapshotClass
		}
		content := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		content.SetGroupVersionKind(stack.VolumeSnapshotContents.GroupVersion().WithKind("VolumeSnapshotContent"))
		content.SetName(name)
		content.SetLabels(map[string]string{managedBy: "node-1"})
		if _, err := s.cluster.Dynamic.Resource(stack.VolumeSnapshotContents).Create(t.Context(), content, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.createIn(t, stack.VolumeSnapshots, namespace, "VolumeSnapshot", name, source)
	}
	s.readyStatus(t, stack.VolumeSnapshots, namespace, "with-class")
	await(t, func() error {
		content := s.get(t, stack.VolumeSnapshotContents, "", "without-class")
		if ready, _, _ := unstructured.NestedBool(content.Object, "status", "readyToUse"); ready {
			t.Error("the content without a class is ready")
		}
		if message, _, _ := unstructured.NestedString(content.Object, "status", "error", "message"); message == "" {
			return errors.New("the content without a class has no error")
		}
		return nil
	})
}

// claim makes a claim, from a snapshot unless that is "", and returns the folder of
// its volume.
func (s *storageUnderTest) claim(t *testing.T, namespace, name, snapshot string) string {
	t.Helper()
	class, group := stack.StorageClass, "snapshot.storage.k8s.io"
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": "storage"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	if snapshot != "" {
		claim.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: snapshot}
	}
	_, err := s.cluster.Kubernetes.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), claim, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	folder, err := s.VolumeFolder(ctx, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func (s *storageUnderTest) createSnapshot(t *testing.T, namespace, name, claim string) {
	t.Helper()
	s.createIn(t, stack.VolumeSnapshots, namespace, "VolumeSnapshot", name, map[string]any{
		"volumeSnapshotClassName": stack.SnapshotClass,
		"source":                  map[string]any{"persistentVolumeClaimName": claim},
	})
}

// snapshot makes a snapshot, waits until it is ready and returns its handle.
func (s *storageUnderTest) snapshot(t *testing.T, namespace, name, claim string) string {
	t.Helper()
	s.createSnapshot(t, namespace, name, claim)
	status := s.readyStatus(t, stack.VolumeSnapshots, namespace, name)
	content := s.get(t, stack.VolumeSnapshotContents, "", status["boundVolumeSnapshotContentName"].(string))
	handle, _, _ := unstructured.NestedString(content.Object, "status", "snapshotHandle")
	if !slices.Contains(s.Driver.Snapshots(), handle) {
		t.Fatalf("the driver has no snapshot %q", handle)
	}
	return handle
}

func (s *storageUnderTest) createIn(t *testing.T, resource schema.GroupVersionResource, namespace, kind, name string, spec map[string]any) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(resource.GroupVersion().WithKind(kind))
	object.SetName(name)
	if _, err := s.cluster.Dynamic.Resource(resource).Namespace(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *storageUnderTest) get(t *testing.T, resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object, err := s.cluster.Dynamic.Resource(resource).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// readyStatus waits until an object is ready to use and returns its status.
func (s *storageUnderTest) readyStatus(t *testing.T, resource schema.GroupVersionResource, namespace, name string) map[string]any {
	t.Helper()
	var status map[string]any
	await(t, func() error {
		status, _, _ = unstructured.NestedMap(s.get(t, resource, namespace, name).Object, "status")
		if status["readyToUse"] != true {
			return fmt.Errorf("%s is not ready: %v", name, status)
		}
		return nil
	})
	return status
}

func await(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stack.Await(ctx, check); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
