package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	// NodeName is the name of the one node.
	NodeName = "stack-node"
	// NodeAddress is the node's, on the loopback interface: kubelet wants one
	// that is not 127.0.0.1.
	NodeAddress = "10.10.0.1"
	// serviceAddress is where pods look for the API server. No proxy makes
	// services reachable: it is an address of the loopback interface as well.
	serviceAddress = "10.96.0.1"
	// podNetwork is what the addresses of pods are taken from.
	podNetwork = "10.88.0.0/16"
)

// Node runs the pods of a control plane: kubelet, containerd and runc, with
// kube-scheduler to give it the pods. Pods have a network of their own, from
// which they reach the API server and what Expose gives an address to. There
// is no DNS, and services have no address that works but the API server's.
type Node struct {
	stack               *Stack
	cluster             *ControlPlane
	containerd, kubelet *server
}

// Node returns the node of the shared control plane. The first call starts it.
// The test is skipped, with the reason, where pods cannot run.
func (s *Stack) Node(t testing.TB) *Node {
	t.Helper()
	if err := s.NodeRefusal(); err != nil {
		t.Skipf("left out, since no pods can run: %v", err)
	}
	cluster := s.ControlPlane(t)
	n := s.node.get(t, func(ctx context.Context) (*Node, error) { return s.StartNode(ctx, cluster) })
	n.containerd.attach(t)
	n.kubelet.attach(t)
	n.attachPods(t)
	return n
}

// NodeRefusal tells why this machine cannot run pods. It is nil if it can.
func (s *Stack) NodeRefusal() error {
	if s.stage.Isolation != privileged {
		return fmt.Errorf("they take root, in namespaces that the stack makes; this run has: %s", s.stage.Isolation)
	}
	if _, err := s.Command(tools.RuncCLI); err != nil && s.stage.Commands[tools.Kubelet] != nil {
		return errors.New("there is no runc; install it")
	}
	if err := cgroupsWritable(); err != nil {
		return err
	}
	for _, folder := range layeredFolders() {
		if rel, err := filepath.Rel(folder, s.stage.Dir); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("the run's folder %s is below %s, which the node replaces; set TMPDIR", s.stage.Dir, folder)
		}
	}
	return nil
}

// StartNode starts a node, the only one, and waits until pods can run on it.
func (s *Stack) StartNode(ctx context.Context, cluster *ControlPlane) (*Node, error) {
	if err := s.NodeRefusal(); err != nil {
		return nil, err
	}
	dir, err := s.folder("node")
	if err != nil {
		return nil, err
	}
	n := &Node{stack: s, cluster: cluster}
	if err := shieldMachine(dir); err != nil {
		return nil, err
	}
	if err := makeCgroups(s.stage.Dir); err != nil {
		return nil, err
	}
	if err := n.connect(); err != nil {
		return nil, err
	}
	if err := n.startContainerd(ctx, dir); err != nil {
		return nil, err
	}
	if err := n.addPauseImage(ctx); err != nil {
		return nil, err
	}
	if err := n.startKubelet(dir); err != nil {
		return nil, err
	}
	if err := n.startScheduler(dir); err != nil {
		return nil, err
	}
	return n, n.kubelet.await(ctx, n.ready)
}

// connect gives the node its address, and the API server the one that pods
// look for.
func (n *Node) connect() error {
	if err := addLoopbackAddress("node", NodeAddress); err != nil {
		return err
	}
	if err := addLoopbackAddress("service", serviceAddress); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(serviceAddress, "443"))
	if err != nil {
		return err
	}
	go relay(listener, "tcp", n.cluster.address)
	return nil
}

// Expose makes a server on the loopback interface reachable from pods and
// returns its URL for them.
func (n *Node) Expose(endpoint string) (string, error) {
	scheme, address, _ := strings.Cut(endpoint, "://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%s is no URL with a port: %w", endpoint, err)
	}
	exposed := net.JoinHostPort(NodeAddress, port)
	listener, err := net.Listen("tcp", exposed)
	if err != nil {
		return "", err
	}
	go relay(listener, "tcp", address)
	return scheme + "://" + exposed, nil
}

// ready is a check that the node takes pods.
func (n *Node) ready(ctx context.Context) error {
	node, err := n.cluster.Kubernetes.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	isReady := func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}
	if !slices.ContainsFunc(node.Status.Conditions, isReady) || len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node is not ready: %v, taints %v", node.Status.Conditions, node.Spec.Taints)
	}
	return nil
}

// AwaitPod waits until a pod satisfies a check and returns it. It fails when
// the node ends or ctx does.
func (n *Node) AwaitPod(ctx context.Context, namespace, name string, check func(*corev1.Pod) error) (*corev1.Pod, error) {
	var pod *corev1.Pod
	err := n.kubelet.await(ctx, func(ctx context.Context) (err error) {
		pod, err = n.cluster.Kubernetes.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return check(pod)
	})
	return pod, err
}

// Running is a check that all containers of a pod run.
func Running(pod *corev1.Pod) error {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if waiting := status.State.Waiting; waiting != nil && waiting.Message != "" {
			return fmt.Errorf("container %s of pod %s: %s: %s", status.Name, pod.Name, waiting.Reason, waiting.Message)
		}
	}
	isReady := func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	if !slices.ContainsFunc(pod.Status.Conditions, isReady) {
		return fmt.Errorf("pod %s is %s: %v", pod.Name, pod.Status.Phase, pod.Status.Conditions)
	}
	return nil
}

// EmptyDir is the folder, on the node, of a pod's volume of that kind.
func (n *Node) EmptyDir(pod *corev1.Pod, volume string) string {
	return filepath.Join(kubeletFolder, "pods", string(pod.UID), "volumes", "kubernetes.io~empty-dir", volume)
}

// NewVolumeFolder makes a folder on the node, for a persistent volume.
func (n *Node) NewVolumeFolder() (string, error) {
	parent := filepath.Join(kubeletFolder, "local-volumes")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "volume-")
	return dir, errors.Join(err, os.Chmod(dir, 0o777))
}

// attachPods adds the end of all containers' logs to the output of a test, should
// the test fail.
func (n *Node) attachPods(t testing.TB) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		logs, _ := filepath.Glob(filepath.Join(n.podLogs(), "*", "*", "*.log"))
		for _, log := range logs {
			t.Logf("log of %s:\n%s", strings.TrimPrefix(log, n.podLogs()), tail(log, 0))
		}
	})
}

// podLogs is the folder of the containers' logs.
func (n *Node) podLogs() string { return filepath.Join(n.stack.stage.Dir, "logs", "pods") }
