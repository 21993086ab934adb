package stack

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// VeleroInPods is how Velero is installed into the cluster.
type VeleroInPods struct {
	// Plugins are images, whose containers run first in the server's pod.
	Plugins []string
	// Location is where backups go. Its server must be reachable from pods.
	Location Location
	// Flags are further flags of the installation.
	Flags []string
}

// InstallVelero installs Velero as people do, by its own command line, with a
// node agent. It returns when the location is available and the agent runs.
func (n *Node) InstallVelero(ctx context.Context, options VeleroInPods) (*VeleroClient, error) {
	image, err := n.addVeleroImage(ctx)
	if err != nil {
		return nil, err
	}
	env, err := n.stack.cleanEnvironment("velero")
	if err != nil {
		return nil, err
	}
	binary, err := n.executable(tools.VeleroServer)
	if err != nil {
		return nil, err
	}
	v := &VeleroClient{
		Binary:  binary,
		Env:     append(env, "KUBECONFIG="+n.cluster.Kubeconfig, "VELERO_NAMESPACE="+VeleroNamespace),
		cluster: n.cluster,
		await:   n.kubelet.await,
	}
	args, err := n.installArguments(image, options)
	if err != nil {
		return nil, err
	}
	if _, err := v.CLI(ctx, args...); err != nil {
		return nil, err
	}
	if err := v.awaitLocation(ctx, Location{Name: "default"}); err != nil {
		return nil, err
	}
	return v, v.await(ctx, v.nodeAgentReady)
}

// installArguments is the command line of the installation. The requests of
// the pods are for machines that have nothing to spare.
func (n *Node) installArguments(image string, options VeleroInPods) ([]string, error) {
	dir, err := n.stack.folder("velero-install")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"credential": options.Location.Credential}
	args := []string{"install", "--image", image, "--use-node-agent", "--use-volume-snapshots=false",
		"--velero-pod-cpu-request=0", "--velero-pod-mem-request=0", "--node-agent-pod-cpu-request=0", "--node-agent-pod-mem-request=0",
		"--plugins", strings.Join(options.Plugins, ","),
		"--provider", options.Location.Provider, "--bucket", options.Location.Bucket, "--prefix", options.Location.Prefix,
		"--backup-location-config", joinPairs(options.Location.Config),
		"--secret-file", filepath.Join(dir, "credential"),
	}
	if options.Location.CAPEM != nil {
		files["ca.pem"] = options.Location.CAPEM
		args = append(args, "--cacert", filepath.Join(dir, "ca.pem"))
	}
	return append(args, options.Flags...), writeFiles(dir, files)
}

func joinPairs(pairs map[string]string) string {
	var joined []string
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		joined = append(joined, key+"="+pairs[key])
	}
	return strings.Join(joined, ",")
}

// nodeAgentReady is a check that every node has its agent.
func (v *VeleroClient) nodeAgentReady(ctx context.Context) error {
	agents, err := v.cluster.Kubernetes.AppsV1().DaemonSets(VeleroNamespace).Get(ctx, "node-agent", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if status := agents.Status; status.DesiredNumberScheduled == 0 || status.NumberReady < status.DesiredNumberScheduled {
		return fmt.Errorf("%d of %d node agents are ready", status.NumberReady, status.DesiredNumberScheduled)
	}
	return nil
}

// addVeleroImage packs the built Velero as its own image does.
func (n *Node) addVeleroImage(ctx context.Context) (string, error) {
	image := imagebuild.Image{
		Files:      []imagebuild.File{{Path: "/tmp"}},
		Entrypoint: []string{"/velero"},
	}
	for _, program := range []tools.Program{tools.VeleroServer, tools.VeleroHelper, tools.VeleroRestoreHelper} {
		source, err := n.executable(program)
		if err != nil {
			return "", err
		}
		image.Files = append(image.Files, imagebuild.File{Path: "/" + string(program), Source: source})
	}
	return n.AddImage(ctx, "velero", "test", image)
}
