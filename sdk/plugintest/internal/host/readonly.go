package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
)

// ReadOnly runs a plugin as a container with a read-only root does: it can write
// to the folders in Writable only.
type ReadOnly struct{ Writable []string }

// ErrNoNamespaces says that this machine does not let the suite change what a
// child sees of the file system.
var ErrNoNamespaces = errors.New("mount namespaces are not available here")

type readOnlyExec struct {
	Path     string
	Argv     []string
	Writable []string
}

func (r *ReadOnly) start(l Launch, env []string) (*process.Process, error) {
	path, err := exec.LookPath(l.Path)
	if err != nil {
		return nil, err
	}
	part, err := role{Exec: &readOnlyExec{path, append([]string{l.Path}, l.Args...), r.Writable}}.entry()
	if err != nil {
		return nil, err
	}
	p, err := process.Start(process.Options{
		Path: "/proc/self/exe", Args: []string{l.Path}, Env: append(env, part), Attr: ownMounts(),
	})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	return p, err
}

func ownMounts() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// run makes all mounts but those of the kernel and the writable folders
// read-only and becomes the plugin.
func (e *readOnlyExec) run() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, dir := range e.Writable {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keeping %s writable: %w", dir, err)
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/"} {
		readOnly := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, readOnly)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL and ENOENT: the folder is no mount, or is not there
			return fmt.Errorf("making %s read-only: %w", dir, err)
		}
	}
	return unix.Exec(e.Path, e.Argv, os.Environ())
}
