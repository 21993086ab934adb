package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/imagebuild"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	// imageRepository begins the names of the images that AddImage adds. No
	// registry has that name: what is not there cannot be pulled.
	imageRepository = "stack.local"
	pauseImage      = imageRepository + "/pause:1"
)

// startContainerd starts the container runtime and waits until it serves.
func (n *Node) startContainerd(ctx context.Context, dir string) error {
	network := filepath.Join(dir, "network")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	text, err := n.containerdConfig(network)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "containerd.toml")
	err = errors.Join(
		os.WriteFile(filepath.Join(network, "pods.conflist"), []byte(networkConfig()), 0o600),
		os.WriteFile(config, []byte(text), 0o600),
	)
	if err != nil {
		return err
	}
	if n.containerd, err = n.stack.start("containerd", tools.ContainerdServer, nil, "--config", config); err != nil {
		return err
	}
	return n.containerd.await(ctx, func(context.Context) error {
		connection, err := net.Dial("unix", containerdSocket)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// containerdConfig has what differs from the defaults. A stack in a container
// may lack the right to raise the priority of processes. The plugins that are
// left out write to further folders of the machine.
func (n *Node) containerdConfig(network string) (string, error) {
	bridge, bridgeErr := n.executable(tools.CNIBridge)
	shim, shimErr := n.executable(tools.ContainerdShim)
	runc, runcErr := n.executable(tools.RuncCLI)
	return fmt.Sprintf(`version = 3
root = %[1]q
state = "/run/containerd"
disabled_plugins = [
	"io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.nri.v1.nri",
	"io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = %[2]q

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %[3]q

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%[4]q]
conf_dir = %[5]q
use_internal_loopback = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = %[6]q

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = %[7]q
SystemdCgroup = false
`,
		containerdFolder, containerdSocket, pauseImage, filepath.Dir(bridge), network, shim, runc,
	), errors.Join(bridgeErr, shimErr, runcErr)
}

// executable is the path of a program that is an executable of its own.
func (n *Node) executable(program tools.Program) (string, error) {
	argv, err := n.stack.Command(program)
	if err != nil {
		return "", err
	}
	return argv[0], nil
}

// networkConfig gives each pod an address on a bridge in the run's network
// namespace. Nothing masks the addresses: no pod reaches another network.
func networkConfig() string {
	return fmt.Sprintf(`{
	"cniVersion": "1.0.0",
	"name": "pods",
	"plugins": [{
		"type": "bridge",
		"bridge": "pods",
		"isGateway": true,
		"ipam": {
			"type": "host-local",
			"ranges": [[{"subnet": %q}]],
			"routes": [{"dst": "0.0.0.0/0"}]
		}
	}]
}
`, podNetwork)
}

// AddImage builds an image for this machine, gives it to the node and returns
// the name that pods take it by.
func (n *Node) AddImage(ctx context.Context, name, tag string, image imagebuild.Image) (string, error) {
	dir, err := n.stack.folder("images")
	if err != nil {
		return "", err
	}
	image.Architecture, image.Uncompressed = runtime.GOARCH, true
	built, err := image.Build()
	if err != nil {
		return "", fmt.Errorf("build the image %s: %w", name, err)
	}
	archive := filepath.Join(dir, name+".tar")
	defer os.Remove(archive)
	repository := imageRepository + "/" + name
	if err := imagebuild.WriteArchive(archive, repository, tag, built); err != nil {
		return "", err
	}
	return repository + ":" + tag, n.ImportImages(ctx, archive)
}

// ImportImages gives the images in an OCI archive to the node, under the names
// that they have there.
func (n *Node) ImportImages(ctx context.Context, archive string) error {
	ctr, err := n.executable(tools.ContainerdCLI)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, ctr, "--address", containerdSocket, "--namespace", "k8s.io",
		"images", "import", "--local", archive)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("import %s: %w\n%s", archive, err, strings.TrimSpace(said.String()))
	}
	return nil
}

func (n *Node) addPauseImage(ctx context.Context) error {
	pause, err := n.executable(tools.Pause)
	if err != nil {
		return err
	}
	_, err = n.AddImage(ctx, "pause", "1", imagebuild.Image{
		Files:      []imagebuild.File{{Path: "/pause", Source: pause}},
		Entrypoint: []string{"/pause"},
		User:       "65535:65535",
	})
	return err
}

// PauseImage is an image whose one program waits until it is told to end, for
// pods that only have to be there.
func (n *Node) PauseImage() string { return pauseImage }
