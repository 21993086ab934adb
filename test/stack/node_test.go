package stack_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// runPod starts a node with a pod that waits.
func runPod(ctx context.Context, s *stack.Stack) error {
	cluster, err := s.StartControlPlane(ctx)
	if err != nil {
		return err
	}
	node, err := s.StartNode(ctx, cluster)
	if err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "waiting"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "waiting", Image: node.PauseImage()}}},
	}
	if _, err := cluster.Kubernetes.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = node.AwaitPod(ctx, "default", "waiting", stack.Running)
	return err
}

// A node that gets no chance to clean up leaves the machine as it was: no
// container, mount, control group, kernel setting or file.
func TestKilledNodeLeavesTheMachineAsItWas(t *testing.T) {
	if err := servers.NodeRefusal(); err != nil {
		t.Skipf("left out, since no pods can run: %v", err)
	}
	before := machine(t)
	h := startHelper(t, helperWithNode)
	if len(groupsOf(t, h.dir)) == 0 || machine(t) == before {
		t.Fatal("the machine looks as without a node: the test would prove nothing")
	}
	kill(t, h.outer(t), unix.SIGKILL)
	eventually(t, func() error { return gone(h.processes(t), "") })
	startHelper(t, helperWithMinIO) // the next run removes what no process could
	eventually(t, func() error {
		if groups := groupsOf(t, h.dir); len(groups) > 0 {
			return fmt.Errorf("left: %v", groups)
		}
		if after := machine(t); after != before {
			return fmt.Errorf("the machine was\n%s\nand is\n%s", before, after)
		}
		return nil
	})
}

// groupsOf returns the control groups of a run.
func groupsOf(t *testing.T, dir string) []string {
	t.Helper()
	var groups []string
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(filepath.Join(hierarchy, filepath.Base(dir)))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, found...)
	}
	return groups
}

// machine tells what else a node could change.
func machine(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range []string{
		"/run/*", "/var/log/*", "/var/lib/*", "/var/lib/kubelet/*", "/var/lib/containerd/*", "/var/lib/cni/*",
		"/etc/cni", "/etc/containerd", "/opt/cni", "/opt/containerd", "/usr/libexec/kubernetes",
		"/sys/fs/cgroup/*/k8s.io", "/sys/fs/cgroup/*/kubepods", "/sys/class/net/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, pattern, found)
	}
	for _, file := range []string{
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
		"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes", "/proc/self/mounts",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s", file, text)
	}
	fmt.Fprintln(&b, "containers:", containers(t))
	return b.String()
}

// containers returns the programs of the containers that run.
func containers(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		command, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(command), "/pause\x00") {
			found = append(found, "/pause")
		}
	}
	return found
}
