package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process refers to one process, which need not be a child. It never refers to
// another process that gets the same process ID later.
type Process struct {
	PID    int
	handle *os.Process
}

func open(pid int) (Process, error) {
	handle, err := os.FindProcess(pid)
	if err == nil {
		err = handle.WithHandle(func(uintptr) {}) // fails unless it stands for a running process
	}
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Process{pid, handle}, nil
}

// close gives up the handle. Further calls have no effect.
func (p Process) close() { _ = p.handle.Release() }

// Signal sends a signal. A process that has ended is no error.
func (p Process) Signal(s syscall.Signal) error {
	if err := p.handle.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Ended returns an error unless the process ends in time.
func (p Process) Ended(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		var n int
		var pollErr error
		err := p.handle.WithHandle(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, pollErr = unix.Poll(poll, int(max(0, time.Until(deadline)).Milliseconds()))
		})
		switch {
		case errors.Is(err, os.ErrProcessDone):
			return nil
		case err != nil:
			return err
		case errors.Is(pollErr, unix.EINTR):
		case pollErr != nil:
			return pollErr
		case n > 0:
			return nil
		default:
			return fmt.Errorf("process %d still runs after %v", p.PID, within)
		}
	}
}

// Pause stops the process with SIGSTOP and waits until all of it stands.
func (p Process) Pause() error {
	if err := p.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		if err != nil {
			return err
		}
		// The name before the state may itself hold parentheses.
		if rest := stat[bytes.LastIndexByte(stat, ')')+1:]; strings.HasPrefix(string(rest), " T") {
			return nil
		}
	}
	return fmt.Errorf("process %d does not stop", p.PID)
}

// Continue ends a Pause.
func (p Process) Continue() error { return p.Signal(unix.SIGCONT) }

// Usage is what a process holds.
type Usage struct {
	Resident int64 // bytes
	Peak     int64 // the most that was resident, bytes
	Files    int
	Sockets  int
	Threads  int
}

func kibibytes(number string) (int64, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	return n << 10, err
}

// Usage reads what the process holds now.
func (p Process) Usage() (Usage, error) {
	var u Usage
	dir := fmt.Sprintf("/proc/%d/", p.PID)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		number := strings.TrimSuffix(strings.TrimSpace(value), " kB")
		switch name {
		case "VmRSS":
			u.Resident, err = kibibytes(number)
		case "VmHWM":
			u.Peak, err = kibibytes(number)
		case "Threads":
			u.Threads, err = strconv.Atoi(number)
		}
		if err != nil {
			return u, err
		}
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, err
	}
	u.Files = len(files)
	for _, file := range files {
		if target, err := os.Readlink(dir + "fd/" + file.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			u.Sockets++
		}
	}
	return u, nil
}
