// Command confine becomes another program after it has taken things away from
// itself: it is started in a mount namespace of its own.
//
//	confine '{"ReadOnly":true,"Full":["/tmp/x"],"Files":64}' PROGRAM ARGS...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits is what to take away.
type Limits struct {
	Empty    []string // folders that get an empty file system
	Full     []string // folders that get a file system without a free byte
	ReadOnly bool     // all file systems but those of the kernel
	Files    uint64   // open files; 0 leaves the limit alone
}

func main() {
	fmt.Fprintln(os.Stderr, "confine:", run(os.Args[1:]))
	os.Exit(1)
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("no limits or no program in the arguments")
	}
	var limits Limits
	if err := json.Unmarshal([]byte(args[0]), &limits); err != nil {
		return err
	}
	if err := limits.apply(); err != nil {
		return err
	}
	return unix.Exec(args[1], args[1:], os.Environ())
}

func (l Limits) apply() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, dir := range l.Empty {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			return fmt.Errorf("mounting on %s: %w", dir, err)
		}
	}
	for _, dir := range l.Full {
		if err := mountFull(dir); err != nil {
			return err
		}
	}
	if l.ReadOnly {
		if err := readOnly(); err != nil {
			return err
		}
	}
	if l.Files > 0 {
		return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: l.Files, Max: l.Files})
	}
	return nil
}

// mountFull mounts a file system that has neither a block nor an inode left.
func mountFull(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,nr_inodes=2"); err != nil {
		return fmt.Errorf("mounting on %s: %w", dir, err)
	}
	err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 128<<10), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("filling %s: %w", dir, err)
	}
	return nil
}

func readOnly() error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm", "/"} {
		err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, attr)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // no mount of its own
			return fmt.Errorf("making %s read-only: %w", dir, err)
		}
	}
	return nil
}
