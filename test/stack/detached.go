package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRunning is the error of stopping a stack that is not up.
var ErrNotRunning = errors.New("no stack is up")

// DetachedDir is the folder of this user's detached run.
func DetachedDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("%sup-%d", runPrefix, os.Geteuid()))
}

// DetachedRunning reports whether this user's detached run lasts.
func DetachedRunning() bool {
	if _, err := os.Stat(filepath.Join(DetachedDir(), lockFile)); err != nil {
		return false
	}
	lock, err := lockRun(DetachedDir())
	if err != nil {
		return errors.Is(err, errRunning)
	}
	_ = lock.Close()
	return false
}

// StopDetached ends this user's detached run: in order, and after grace by
// force. It returns when no process of it is left, plugins included.
func StopDetached(ctx context.Context, grace time.Duration) error {
	dir := DetachedDir()
	if !DetachedRunning() {
		return errors.Join(killRun(dir), os.RemoveAll(dir), ErrNotRunning)
	}
	way, err := readEntrance(dir)
	if err != nil {
		return err
	}
	if err := unix.Kill(way.Outer, unix.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", way.Outer, err)
	}
	graceful, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err = Await(graceful, func() error {
		if DetachedRunning() {
			return errRunning
		}
		return nil
	})
	if err != nil {
		if err := unix.Kill(way.Outer, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill process %d: %w", way.Outer, err)
		}
	}
	// Here only when the outer program did not come to it.
	return errors.Join(killRun(dir), os.RemoveAll(dir))
}

// DetachedEntrance returns a shell command that runs others in the namespaces
// of this user's detached run. It is empty if there are none.
func DetachedEntrance() (string, error) {
	way, err := readEntrance(DetachedDir())
	if err != nil {
		return "", err
	}
	switch way.Isolation {
	case privileged:
		return fmt.Sprintf("nsenter --target %d --net --mount --pid", way.Init), nil
	case unprivileged:
		return fmt.Sprintf("nsenter --target %d --user --preserve-credentials --net --mount --pid", way.Init), nil
	default:
		return "", nil
	}
}
