package pods

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const awsPlugin = "velero-plugin-for-aws"

// OADP runs the image under an arbitrary user id, with a read-only root and
// no rights. It has to leave one executable, whatever was there before.
func TestImageInstallsThePlugin(t *testing.T) {
	for name, older := range map[string]string{"into an empty folder": "", "over an older plugin": "older"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			node, cluster := servers.Node(t), servers.ControlPlane(t)
			target := newTarget(t, node)
			if older != "" {
				if err := os.WriteFile(filepath.Join(target, awsPlugin), []byte(older), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			namespace := cluster.NewNamespace(t)
			image := addPluginImage(ctx, t, node, "Dockerfile.aws", awsPlugin)
			createPod(ctx, t, cluster, namespace, "velero", initContainer(node, image, target, false))
			if _, err := node.AwaitPod(ctx, namespace, "velero", stack.Running); err != nil {
				t.Fatal(err)
			}
			mustHoldOnlyThePlugin(t, target)
		})
	}
}

func mustHoldOnlyThePlugin(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != awsPlugin {
		t.Fatalf("the plugin folder holds %v", entries)
	}
	info, err := entries[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("the plugin has mode %v", info.Mode())
	}
	installed, err := os.ReadFile(filepath.Join(folder, awsPlugin))
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadFile(builtPlugin(t, awsPlugin))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(installed, built) {
		t.Error("the installed plugin is not the one that was built")
	}
}

// An administrator sees in the pod's status why its plugin is not installed.
func TestImageTellsWhyItFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	node, cluster := servers.Node(t), servers.ControlPlane(t)
	namespace := cluster.NewNamespace(t)
	image := addPluginImage(ctx, t, node, "Dockerfile.aws", awsPlugin)
	createPod(ctx, t, cluster, namespace, "velero", initContainer(node, image, newTarget(t, node), true))

	var ended *corev1.ContainerStateTerminated
	_, err := node.AwaitPod(ctx, namespace, "velero", func(pod *corev1.Pod) error {
		for _, status := range pod.Status.InitContainerStatuses {
			if ended = status.State.Terminated; ended != nil {
				return nil
			}
		}
		return fmt.Errorf("the init container has not ended: %v", pod.Status.InitContainerStatuses)
	})
	if err != nil {
		t.Fatal(err)
	}
	if ended.ExitCode == 0 {
		t.Error("the plugin counts as installed in a folder that is read-only")
	}
	message := strings.TrimSpace(ended.Message)
	if strings.Count(message, "\n") != 0 || !strings.Contains(message, "/target") || !strings.Contains(message, "read-only file system") {
		t.Errorf("the message is not one line with folder and reason:\n%s", message)
	}
}

// newTarget makes a folder that outlasts the pod, for what its image installs.
func newTarget(t *testing.T, node *stack.Node) string {
	t.Helper()
	folder, err := node.NewVolumeFolder()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// initContainer is a pod as OADP makes Velero's under the restricted security
// context constraints, with a folder of the node as the plugin folder.
func initContainer(node *stack.Node, image, target string, readOnly bool) corev1.PodSpec {
	yes, no := true, false
	user, group := int64(12345), int64(0)
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		InitContainers: []corev1.Container{{
			Name:                     "velero-plugin-for-aws",
			Image:                    image,
			VolumeMounts:             []corev1.VolumeMount{{Name: "plugins", MountPath: "/target", ReadOnly: readOnly}},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			Resources:                corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}},
			SecurityContext: &corev1.SecurityContext{
				RunAsUser: &user, RunAsGroup: &group, RunAsNonRoot: &yes,
				ReadOnlyRootFilesystem: &yes, Privileged: &no, AllowPrivilegeEscalation: &no,
				Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
		}},
		Containers: []corev1.Container{{Name: "velero", Image: node.PauseImage()}},
		Volumes: []corev1.Volume{{Name: "plugins", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: target},
		}}},
	}
}
