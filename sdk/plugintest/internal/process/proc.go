package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Memory is what a process occupies, in bytes.
type Memory struct{ Resident, Peak int64 }

// MemoryOf reads the memory of a running process.
func MemoryOf(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			m.Resident, err = kibibytes(value)
		case "VmHWM":
			m.Peak, err = kibibytes(value)
		}
		if err != nil {
			return Memory{}, fmt.Errorf("%s of process %d: %w", name, pid, err)
		}
	}
	return m, nil
}

func kibibytes(value string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
	return n << 10, err
}

// OpenFiles counts the file descriptors of a process; 0 is this process.
func OpenFiles(pid int) (int, error) {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	entries, err := os.ReadDir(filepath.Join("/proc", who, "fd"))
	return len(entries), err
}

// WithVariable returns the running processes whose environment has the entry
// NAME=value. Processes of other users are not seen.
func WithVariable(entry string) []int {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, path := range environments {
		env, err := os.ReadFile(path) // empty for a zombie
		if err != nil || !hasEntry(env, entry) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func hasEntry(env []byte, entry string) bool {
	for line := range bytes.SplitSeq(env, []byte{0}) {
		if string(line) == entry {
			return true
		}
	}
	return false
}

// Handle refers to one process, which need not be a child. It never refers to
// another process that gets the same process ID later.
type Handle struct{ process *os.Process }

// Open returns a handle on a running process.
func Open(pid int) (Handle, error) {
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.WithHandle(func(uintptr) {}) // fails unless it stands for a running process
	}
	if err != nil {
		return Handle{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return Handle{p}, nil
}

// Close gives up the handle. Further calls have no effect.
func (h Handle) Close() { _ = h.process.Release() }

// Kill ends the process.
func (h Handle) Kill() error {
	if err := h.process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Ended waits for the end of the process and reports whether it came in time.
func (h Handle) Ended(within time.Duration) (bool, error) {
	deadline := time.Now().Add(within)
	for {
		var n int
		var pollErr error
		err := h.process.WithHandle(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, pollErr = unix.Poll(poll, int(max(0, time.Until(deadline)).Milliseconds()))
		})
		switch {
		case errors.Is(err, os.ErrProcessDone):
			return true, nil
		case err != nil:
			return false, err
		case !errors.Is(pollErr, unix.EINTR):
			return n > 0, pollErr
		}
	}
}
