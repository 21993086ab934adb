package imagetriggers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const testTimeout = 5 * time.Minute

// TestPodsOutlastTheTrigger restores a Deployment whose volume and hook take
// time, while a controller rolls out at the first chance. With triggers paused
// the restored pod comes to its end; without that it dies before it has begun.
func TestPodsOutlastTheTrigger(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	node, cluster, store := servers.Node(t), servers.ControlPlane(t), servers.MinIO(t)
	velero := installVelero(ctx, t, node, store)
	first, rebuilt := addApp(ctx, t, node)
	g := &gallery{node: node, cluster: cluster}
	g.create(ctx, t, first)
	backup, err := velero.Backup(ctx, "gallery", map[string]any{
		"includedNamespaces": []any{original}, "defaultVolumesToFsBackup": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, backup)

	g.newVolume(ctx, t, "kept")
	stop := start(ctx, t, triggerController{cluster, "kept", rebuilt})
	restore, err := velero.Restore(ctx, "kept", into("kept"))
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, velero, restore)
	if phases := volumeRestores(ctx, t, velero, "kept"); len(phases) != 1 || phases[0] != "Completed" {
		t.Errorf("restores of volumes are %v", phases)
	}
	if sum := g.hooked(t); sum != g.sum {
		t.Errorf("the hook found %q, want %q", sum, g.sum)
	}
	// The trigger has gone on, and the rollout that it is for takes place.
	if err := stack.Await(ctx, func() error { return g.deployed(ctx, "kept", rebuilt) }); err != nil {
		t.Error(err)
	}
	mustHaveTrigger(ctx, t, cluster, "kept")
	stop()

	setEnvironment(ctx, t, cluster, "OPENSHIFT_PAUSE_IMAGE_TRIGGERS", "none")
	g.newVolume(ctx, t, "lost")
	defer start(ctx, t, triggerController{cluster, "lost", rebuilt})()
	create(ctx, t, velero, "lost")
	awaitLoss(ctx, t, cluster, "lost")
	if phases := volumeRestores(ctx, t, velero, "lost"); len(phases) == 1 && phases[0] == "Completed" || g.hooked(t) != "" {
		t.Errorf("the restored pod came to its end though it was replaced: volumes %v, hook %q", phases, g.hooked(t))
	}
}

// into is the spec of a restore into another namespace.
func into(namespace string) map[string]any {
	return map[string]any{"backupName": "gallery", "namespaceMapping": map[string]any{original: namespace}}
}

// start runs the controller until the returned function is called.
func start(ctx context.Context, t *testing.T, c triggerController) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		if err := c.run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// create makes a restore into the namespace of its name, without waiting for it.
func create(ctx context.Context, t *testing.T, velero *stack.VeleroClient, name string) {
	t.Helper()
	restore := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Restore",
		"metadata": map[string]any{"name": name, "namespace": stack.VeleroNamespace},
		"spec":     into(name),
	}}
	if _, err := velero.Resource("restores").Create(ctx, restore, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitLoss waits until the pod that the restore has made is gone or going.
func awaitLoss(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, name string) {
	t.Helper()
	pods := cluster.Kubernetes.CoreV1().Pods(name)
	seen := ""
	err := stack.Await(ctx, func() error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "velero.io/restore-name=" + name})
		if err != nil {
			return err
		}
		for _, pod := range list.Items {
			seen = pod.Name
			if pod.DeletionTimestamp == nil {
				return fmt.Errorf("pod %s is %s", pod.Name, pod.Status.Phase)
			}
		}
		if seen == "" {
			return fmt.Errorf("the restore has made no pod")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// volumeRestores returns the phases of what the node agent does for a restore.
func volumeRestores(ctx context.Context, t *testing.T, velero *stack.VeleroClient, restore string) []string {
	t.Helper()
	list, err := velero.Resource("podvolumerestores").List(ctx, metav1.ListOptions{LabelSelector: "velero.io/restore-name=" + restore})
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	for i := range list.Items {
		phases = append(phases, stack.Phase(&list.Items[i]))
	}
	return phases
}

// mustHaveTrigger checks that the Deployment is as it was, with nothing left of
// the pause.
func mustHaveTrigger(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, namespace string) {
	t.Helper()
	d, err := cluster.Kubernetes.AppsV1().Deployments(namespace).Get(ctx, "gallery", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Annotations["image.openshift.io/triggers"] != trigger {
		t.Errorf("the trigger is %s", d.Annotations["image.openshift.io/triggers"])
	}
	for key := range d.Annotations {
		if key == "oadp.openshift.io/original-image-triggers" || key == "oadp.openshift.io/image-triggers-wait-since" {
			t.Errorf("annotation %s is left", key)
		}
	}
	if _, left := d.Labels["oadp.openshift.io/image-triggers-paused-by"]; left {
		t.Error("the label of the pause is left")
	}
}

// setEnvironment sets a variable of the Velero pod and waits for the new one.
func setEnvironment(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, name, value string) {
	t.Helper()
	deployments := cluster.Kubernetes.AppsV1().Deployments(stack.VeleroNamespace)
	patch := fmt.Sprintf(`{"spec": {"template": {"spec": {"containers": [{"name": "velero", "env": [{"name": %q, "value": %q}]}]}}}}`, name, value)
	if _, err := deployments.Patch(ctx, "velero", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	err := stack.Await(ctx, func() error {
		d, err := deployments.Get(ctx, "velero", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := d.Status; s.ObservedGeneration != d.Generation || s.UpdatedReplicas != 1 || s.Replicas != 1 || s.AvailableReplicas != 1 {
			return fmt.Errorf("velero: %+v", s)
		}
		// A pod that is about to end is not counted, and may still take a restore.
		pods, err := cluster.Kubernetes.CoreV1().Pods(stack.VeleroNamespace).List(ctx, metav1.ListOptions{LabelSelector: "deploy=velero"})
		if err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("%d pods of velero", len(pods.Items))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mustComplete(ctx context.Context, t *testing.T, velero *stack.VeleroClient, object *unstructured.Unstructured) {
	t.Helper()
	if phase := stack.Phase(object); phase != "Completed" {
		t.Fatalf("%s %s is %s: %v", object.GetKind(), object.GetName(), phase, object.Object["status"])
	}
}
