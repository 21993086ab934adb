package openshift

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const testTimeout = 3 * time.Minute

// Registries of the two clusters.
const (
	firstHost  = "registry.one:5000"
	secondHost = "registry.two:5000"
)

// TestNamespaceMovesElsewhere backs up a namespace with one of everything and
// restores it under another name, and in another cluster. What has become of
// each object is in the golden files.
func TestNamespaceMovesElsewhere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	store := servers.MinIO(t)
	bucket := store.NewBucket(t)

	objects, pod := moveToNamespace(ctx, t, servers.ControlPlane(t), release.Server(), store.S3Location("here", bucket))

	second, err := servers.StartControlPlane(ctx)
	if err != nil {
		t.Fatal(err)
	}
	two := newSite(ctx, t, second, secondHost)
	two.create(ctx, "namespace.yaml", "NAMESPACE", "shop", "SUFFIX", "ccccc")
	velero := startVelero(ctx, t, second, release.Server(), store.S3Location("there", bucket))
	defer velero.Stop()
	// Velero looks for backups when it starts, and every minute.
	if err := velero.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	// Velero reports watches that its own end has cut off.
	from, err := velero.LogEnd()
	if err != nil {
		t.Fatal(err)
	}
	if err := velero.AwaitBackup(ctx, "shop", true); err != nil {
		t.Fatal(err)
	}
	two.restore(ctx, velero, "elsewhere", map[string]any{"backupName": "shop"}, "shop", pod)
	mustMatch(t, "another-cluster", two.report(ctx, objects, "shop"))
	mustHaveCleanLog(ctx, t, velero, from)
}

// TestOlderServers restores the namespace under another name with the servers of older
// releases of Velero. It becomes what it becomes with the newest one.
func TestOlderServers(t *testing.T) {
	for _, older := range olderReleases {
		t.Run(string(older), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			cluster, err := servers.StartControlPlane(ctx)
			if err != nil {
				t.Fatal(err)
			}
			store := servers.MinIO(t)
			moveToNamespace(ctx, t, cluster, older.Server(), store.S3Location("here", store.NewBucket(t)))
		})
	}
}

// moveToNamespace fills a cluster, backs up the namespace shop with a server of Velero
// and restores it as shop-copy. It returns the objects of shop and its pod.
func moveToNamespace(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, server tools.Program, location stack.Location) (objects []*unstructured.Unstructured, pod string) {
	t.Helper()
	one := newSite(ctx, t, cluster, firstHost)
	one.create(ctx, "namespace.yaml", "NAMESPACE", "shop", "SUFFIX", "aaaaa")
	objects = one.create(ctx, "shop.yaml", "HOST", firstHost)
	one.create(ctx, "namespace.yaml", "NAMESPACE", "shop-copy", "SUFFIX", "bbbbb")
	pod = one.podsOf(ctx, "shop", "app=web", 1)[0]

	velero := startVelero(ctx, t, cluster, server, location)
	defer velero.Stop()
	// All servers of the package write to one log, and a new one first finds its location
	// unavailable.
	from, err := velero.LogEnd()
	if err != nil {
		t.Fatal(err)
	}
	backup, err := velero.Backup(ctx, "shop", map[string]any{
		"includedNamespaces": []any{"shop"}, "storageLocation": location.Name,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(ctx, t, &velero.VeleroClient, backup)

	one.restore(ctx, velero, "copy", map[string]any{
		"backupName": "shop", "namespaceMapping": map[string]any{"shop": "shop-copy"},
	}, "shop-copy", pod)
	mustMatch(t, "another-namespace", one.report(ctx, objects, "shop-copy"))
	mustHaveCleanLog(ctx, t, velero, from)
	return objects, pod
}

func startVelero(ctx context.Context, t *testing.T, cluster *stack.ControlPlane, server tools.Program, location stack.Location) *stack.Velero {
	t.Helper()
	velero, err := servers.StartVelero(ctx, cluster, stack.VeleroOptions{
		Server:    server,
		Plugins:   plugins(),
		Locations: []stack.Location{location},
	})
	if err != nil {
		t.Fatal(err)
	}
	return velero
}

// podsOf waits for so many pods.
func (s site) podsOf(ctx context.Context, namespace, selector string, n int) []string {
	s.t.Helper()
	var names []string
	err := stack.Await(ctx, func() error {
		list, err := s.cluster.Kubernetes.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		names = nil
		for _, pod := range list.Items {
			names = append(names, pod.Name)
		}
		if len(names) != n {
			return fmt.Errorf("%d pods", len(names))
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

// restore restores, and stands in for the node: it reports the pod whose
// Deployment has paused triggers as ready, which ends the restore.
func (s site) restore(ctx context.Context, velero *stack.Velero, name string, spec map[string]any, namespace, pod string) {
	s.t.Helper()
	ready := make(chan error, 1)
	go func() { ready <- s.makeReady(ctx, velero, name, namespace, pod) }()
	restore, err := velero.Restore(ctx, name, spec)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := <-ready; err != nil {
		s.t.Error(err)
	}
	mustComplete(ctx, s.t, &velero.VeleroClient, restore)
}

// makeReady waits until the restore waits for nothing but the operation, looks
// at the paused triggers and then reports the pod as ready.
func (s site) makeReady(ctx context.Context, velero *stack.Velero, restore, namespace, pod string) error {
	err := stack.Await(ctx, func() error {
		found, err := velero.Resource("restores").Get(ctx, restore, metav1.GetOptions{})
		if err == nil && !strings.HasPrefix(stack.Phase(found), "WaitingForPluginOperations") {
			err = fmt.Errorf("restore %s is in phase %q", restore, stack.Phase(found))
		}
		return err
	})
	if err != nil {
		return err
	}
	web, err := s.cluster.Kubernetes.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if triggers := web.Annotations["image.openshift.io/triggers"]; !strings.Contains(triggers, `"paused":true`) {
		return fmt.Errorf("the triggers are not paused during the restore: %s", triggers)
	}
	status := fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
	_, err = s.cluster.Kubernetes.CoreV1().Pods(namespace).Patch(ctx, pod, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	return err
}

// report tells what has become of each object.
func (s site) report(ctx context.Context, objects []*unstructured.Unstructured, namespace string) string {
	s.t.Helper()
	var out strings.Builder
	for _, before := range objects {
		out.WriteString(changes(before, s.find(ctx, before, namespace)))
	}
	return out.String()
}

func mustMatch(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	is, was := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := 0; i < len(is) || i < len(was); i++ {
		if i >= len(is) || i >= len(was) || is[i] != was[i] {
			t.Fatalf("%s differs from line %d on; run the test with -update and judge the difference. Got:\n%s", path, i+1, got)
		}
	}
}

func mustComplete(ctx context.Context, t *testing.T, velero *stack.VeleroClient, object *unstructured.Unstructured) {
	t.Helper()
	if phase := stack.Phase(object); phase != "Completed" {
		kind := strings.ToLower(object.GetKind())
		logs, _ := velero.CLI(ctx, kind, "logs", object.GetName(), "--insecure-skip-tls-verify")
		description, err := velero.CLI(ctx, kind, "describe", object.GetName(), "--details", "--insecure-skip-tls-verify")
		for line := range strings.Lines(logs) {
			if strings.Contains(line, "level=error") || strings.Contains(line, "level=warning") {
				t.Log(line)
			}
		}
		t.Fatalf("%s %s is %s\n%s\n%v", kind, object.GetName(), phase, description, err)
	}
}

func mustHaveCleanLog(ctx context.Context, t *testing.T, velero *stack.Velero, from int64) {
	t.Helper()
	runs, err := velero.PluginRuns(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range runs.Faults {
		t.Error(fault)
	}
}
