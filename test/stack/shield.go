package stack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Folders of kubelet and containerd. These are the ones that both use unless
// told otherwise, and that Velero expects.
const (
	kubeletFolder    = "/var/lib/kubelet"
	containerdFolder = "/var/lib/containerd"
)

// layeredFolders are those that kubelet, containerd and the network plugins
// write to, some of them whatever they are told.
func layeredFolders() []string { return []string{"/run", "/var/lib", "/var/log"} }

// shieldMachine changes what the mount namespace of the run shows of the
// machine, so that a node works in it and the machine stays as it is: nothing
// is written to its folders or kernel settings. All of it ends with the
// namespace, being in memory. Dir is a folder of the run.
func shieldMachine(dir string) error {
	for _, folder := range layeredFolders() {
		if err := layerMemory(folder, filepath.Join(dir, "memory", filepath.Base(folder))); err != nil {
			return fmt.Errorf("lay memory over %s: %w", folder, err)
		}
	}
	// Volumes and images: containers' layers need a file system that is not
	// itself made of layers.
	for _, folder := range []string{kubeletFolder, containerdFolder} {
		if err := mountMemory(folder); err != nil {
			return fmt.Errorf("mount memory on %s: %w", folder, err)
		}
	}
	if err := pretendSettings(filepath.Join(dir, "sysctl")); err != nil {
		return err
	}
	// Pods ask for mounts to be shared between them and the node.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return nil
}

// layerMemory makes writes to a folder go to memory that is mounted on layers.
func layerMemory(folder, layers string) error {
	if err := mountMemory(layers); err != nil {
		return err
	}
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder, upper, work)
	return unix.Mount("overlay", folder, "overlay", 0, options)
}

func mountMemory(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755")
}

// pretendSettings shows kubelet the kernel settings that it insists on and
// would set.
func pretendSettings(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for setting, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join(dir, strings.ReplaceAll(setting, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", setting), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cover the kernel setting %s: %w", setting, err)
		}
	}
	return nil
}

// addLoopbackAddress adds an address to the loopback interface of the run's
// network namespace.
func addLoopbackAddress(label, address string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	for _, set := range []struct {
		request uint
		value   string
	}{
		{unix.SIOCSIFADDR, address},
		{unix.SIOCSIFNETMASK, "255.255.255.255"},
	} {
		request, err := unix.NewIfreq("lo:" + label)
		if err != nil {
			return err
		}
		if err := request.SetInet4Addr(net.ParseIP(set.value).To4()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(socket, set.request, request); err != nil {
			return fmt.Errorf("give the loopback interface the address %s: %w", address, err)
		}
	}
	return nil
}
