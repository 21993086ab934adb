package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/test/stack/csidriver"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	// StorageDriver is the name of the CSI driver.
	StorageDriver = "folders.csi.example.io"
	// StorageClass, SnapshotClass and GroupSnapshotClass are the classes of
	// StartStorage.
	StorageClass       = "folders"
	SnapshotClass      = "folders"
	GroupSnapshotClass = "folders"
)

// The kinds that the snapshot controller brings.
var (
	VolumeSnapshots             = snapshotv1.SchemeGroupVersion.WithResource("volumesnapshots")
	VolumeSnapshotContents      = snapshotv1.SchemeGroupVersion.WithResource("volumesnapshotcontents")
	VolumeSnapshotClasses       = snapshotv1.SchemeGroupVersion.WithResource("volumesnapshotclasses")
	VolumeGroupSnapshots        = groupsnapshotv1.SchemeGroupVersion.WithResource("volumegroupsnapshots")
	VolumeGroupSnapshotContents = groupsnapshotv1.SchemeGroupVersion.WithResource("volumegroupsnapshotcontents")
	VolumeGroupSnapshotClasses  = groupsnapshotv1.SchemeGroupVersion.WithResource("volumegroupsnapshotclasses")
)

// StorageOptions chooses what StartStorage starts.
type StorageOptions struct {
	// Node makes the volumes those of a node of this name, and snapshots
	// distributed: their contents have the label
	// snapshot.storage.kubernetes.io/managed-by=NODE.
	Node string
	// ListSecret is what the driver wants to see before it lists snapshots. The
	// snapshot class names a secret that has it.
	ListSecret string
}

// Storage gives volumes and snapshots to claims of a cluster. The snapshot
// controller and the sidecars are the real ones; Driver keeps the data in folders.
type Storage struct {
	// Driver has the folders of volumes and snapshots, counts calls and breaks.
	Driver *csidriver.Driver

	cluster *ControlPlane
	servers []*server
}

// StartStorage starts a CSI driver, its sidecars and the snapshot controller, and
// makes classes of volumes, snapshots and group snapshots. A cluster can have it
// once. It needs the tools ControlPlane and Storage.
func (s *Stack) StartStorage(ctx context.Context, cluster *ControlPlane, options StorageOptions) (*Storage, error) {
	dir := filepath.Join(cluster.dir, "storage")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := cluster.createSnapshotKinds(ctx); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "csi.sock")
	driver, err := csidriver.Start(csidriver.Options{Name: StorageDriver, Root: dir, Socket: socket, Node: options.Node})
	if err != nil {
		return nil, err
	}
	driver.SetFaults(csidriver.Faults{ListSecret: options.ListSecret})
	storage := &Storage{Driver: driver, cluster: cluster}
	if err := storage.createStorageClasses(ctx, options); err != nil {
		driver.Stop()
		return nil, err
	}
	if err := storage.startControllers(s, socket, options); err != nil {
		storage.Stop()
		return nil, err
	}
	return storage, nil
}

// startControllers starts the processes between the API server and the driver.
func (st *Storage) startControllers(s *Stack, socket string, options StorageOptions) error {
	kubeconfig := "--kubeconfig=" + st.cluster.Kubeconfig
	address := "--csi-address=" + socket
	const groups = "--feature-gates=CSIVolumeGroupSnapshot=true"
	var env []string
	controller := []string{kubeconfig, groups, "--leader-election=false"}
	snapshotter := []string{kubeconfig, address, groups, "--leader-election=false", "--retry-interval-start=100ms"}
	provisioner := []string{kubeconfig, address, "--leader-election=false", "--extra-create-metadata", "--feature-gates=Topology=false"}
	if options.Node != "" {
		env = []string{"NODE_NAME=" + options.Node}
		controller = append(controller, "--enable-distributed-snapshotting=true")
		snapshotter = append(snapshotter, "--node-deployment=true")
		provisioner[len(provisioner)-1] = "--feature-gates=Topology=true"
	}
	for _, c := range []struct {
		program tools.Program
		args    []string
	}{
		{tools.SnapshotController, controller},
		{tools.CSISnapshotter, snapshotter},
		{tools.CSIProvisioner, provisioner},
	} {
		server, err := s.start(string(c.program), c.program, env, c.args...)
		if err != nil {
			return err
		}
		st.servers = append(st.servers, server)
	}
	return nil
}

// Attach adds what the controllers log during a test to the test's output if the
// test fails.
func (st *Storage) Attach(t testing.TB) {
	for _, server := range st.servers {
		server.attach(t)
	}
}

// Stop ends the controllers and the driver.
func (st *Storage) Stop() {
	for _, server := range st.servers {
		server.stop()
	}
	st.Driver.Stop()
}

// VolumeFolder waits until a claim is bound and returns the folder with the data
// of its volume.
func (st *Storage) VolumeFolder(ctx context.Context, namespace, claim string) (string, error) {
	var folder string
	err := Await(ctx, func() error {
		pvc, err := st.cluster.Kubernetes.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, claim, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pvc.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("claim %s/%s is %s", namespace, claim, pvc.Status.Phase)
		}
		pv, err := st.cluster.Kubernetes.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != StorageDriver {
			return fmt.Errorf("claim %s/%s is bound to a volume of another driver", namespace, claim)
		}
		folder = st.Driver.VolumeFolder(pv.Spec.CSI.VolumeHandle)
		return nil
	})
	return folder, err
}

// createStorageClasses makes the classes, and the secret and the node that they
// need.
func (st *Storage) createStorageClasses(ctx context.Context, options StorageOptions) error {
	immediate, expand := storagev1.VolumeBindingImmediate, true
	_, err := st.cluster.Kubernetes.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: StorageClass}, Provisioner: StorageDriver,
		VolumeBindingMode: &immediate, AllowVolumeExpansion: &expand,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if options.Node != "" {
		if err := st.createStorageNode(ctx, options.Node); err != nil {
			return err
		}
	}
	parameters, err := st.createListSecret(ctx, options.ListSecret)
	if err != nil {
		return err
	}
	return errors.Join(
		st.create(ctx, VolumeSnapshotClasses, map[string]any{
			"apiVersion": VolumeSnapshotClasses.GroupVersion().String(), "kind": "VolumeSnapshotClass",
			"metadata": map[string]any{"name": SnapshotClass, "labels": map[string]any{"velero.io/csi-volumesnapshot-class": "true"}},
			"driver":   StorageDriver, "deletionPolicy": "Delete", "parameters": parameters,
		}),
		st.create(ctx, VolumeGroupSnapshotClasses, map[string]any{
			"apiVersion": VolumeGroupSnapshotClasses.GroupVersion().String(), "kind": "VolumeGroupSnapshotClass",
			"metadata": map[string]any{"name": GroupSnapshotClass, "labels": map[string]any{"velero.io/csi-volumegroupsnapshot-class": "true"}},
			"driver":   StorageDriver, "deletionPolicy": "Delete",
		}))
}

func (st *Storage) create(ctx context.Context, resource schema.GroupVersionResource, object map[string]any) error {
	_, err := st.cluster.Dynamic.Resource(resource).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	return err
}

// createStorageNode makes the node that the volumes are reachable from.
func (st *Storage) createStorageNode(ctx context.Context, name string) error {
	key := st.Driver.TopologyKey()
	_, nodeErr := st.cluster.Kubernetes.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{key: name}},
	}, metav1.CreateOptions{})
	_, driversErr := st.cluster.Kubernetes.StorageV1().CSINodes().Create(ctx, &storagev1.CSINode{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{
			Name: StorageDriver, NodeID: name, TopologyKeys: []string{key},
		}}},
	}, metav1.CreateOptions{})
	return errors.Join(nodeErr, driversErr)
}

// createListSecret makes the secret for lists of snapshots and returns the
// parameters of a class that names it; both are none for an empty token.
func (st *Storage) createListSecret(ctx context.Context, token string) (map[string]any, error) {
	if token == "" {
		return map[string]any{}, nil
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "folders-list", Namespace: metav1.NamespaceDefault},
		StringData: map[string]string{"token": token},
	}
	_, err := st.cluster.Kubernetes.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	return map[string]any{
		"csi.storage.k8s.io/snapshotter-list-secret-name":      secret.Name,
		"csi.storage.k8s.io/snapshotter-list-secret-namespace": secret.Namespace,
	}, err
}

var customResourceDefinitions = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

// createSnapshotKinds makes the kinds of snapshots and group snapshots, whose
// definitions are in the module of the Go types, and waits until they are served.
func (c *ControlPlane) createSnapshotKinds(ctx context.Context) error {
	const module = "github.com/kubernetes-csi/external-snapshotter/client/v8"
	folder, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("find the module %s: %w", module, err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(folder)), "config/crd/*.storage.k8s.io_*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the module %s has no definitions of its kinds", module)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &object.Object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := c.Dynamic.Resource(customResourceDefinitions).Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return c.apiserver.await(ctx, func(ctx context.Context) error {
		for _, resource := range []schema.GroupVersionResource{
			VolumeSnapshots, VolumeSnapshotContents, VolumeSnapshotClasses,
			VolumeGroupSnapshots, VolumeGroupSnapshotContents, VolumeGroupSnapshotClasses,
		} {
			if _, err := c.Dynamic.Resource(resource).List(ctx, metav1.ListOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}
