package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// runEnv is in the environment of every process of a run, its value being
	// the run's folder. Plugin processes inherit it from Velero.
	runEnv = "OADP_STACK_RUN"
	// keepEnv keeps the folder of a run.
	keepEnv = "OADP_STACK_KEEP"
	// keepFile in the folder of a run does the same.
	keepFile = "keep"

	runPrefix = "oadp-stack-"
)

// run is the folder of one run: logs, data, sockets. It is locked for as long
// as the run lasts, so that a later run knows what a killed one left behind.
type run struct {
	dir  string
	lock *os.File
}

func newRun(entry Entry) (run, error) {
	removeStaleRuns()
	// It gets its name when it is locked, and so never looks stale before.
	// Plugin sockets are made below it and their paths are limited to 107
	// bytes, hence the short name.
	dir, err := os.MkdirTemp("", "new-"+runPrefix)
	if err != nil {
		return run{}, err
	}
	lock, err := lockRun(dir)
	if err != nil {
		return run{}, err
	}
	name := DetachedDir()
	if !entry.Detached {
		name = filepath.Join(filepath.Dir(dir), strings.TrimPrefix(filepath.Base(dir), "new-"))
	}
	return run{name, lock}, os.Rename(dir, name)
}

// lockFile is locked for as long as a run lasts.
const lockFile = "lock"

// errRunning is the error of locking a run that lasts.
var errRunning = errors.New("the run is not over")

func lockRun(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errRunning
	}
	return nil, fmt.Errorf("lock %s: %w", dir, err)
}

// entrance is how to stop a run and how to get into its namespaces. The
// process ids are those outside.
type entrance struct {
	Isolation   isolation
	Outer, Init int
}

const entranceFile = "entrance.json"

func (r run) record(level isolation, initPID int) error {
	text, err := json.Marshal(entrance{level, os.Getpid(), initPID})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, entranceFile), text, 0o600)
}

func readEntrance(dir string) (entrance, error) {
	var way entrance
	text, err := os.ReadFile(filepath.Join(dir, entranceFile))
	if err != nil {
		return way, err
	}
	return way, json.Unmarshal(text, &way)
}

// remove kills what is left of the run and removes its folder, unless it is
// to be kept.
func (r run) remove() {
	if err := killRun(r.dir); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
	}
	_, err := os.Stat(filepath.Join(r.dir, keepFile))
	if err != nil && os.Getenv(keepEnv) == "1" {
		err = os.WriteFile(filepath.Join(r.dir, keepFile), nil, 0o600) // or the next run removes it
	}
	if err == nil {
		fmt.Fprintln(os.Stderr, "stack: kept", r.dir)
	} else if err := os.RemoveAll(r.dir); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
	}
	_ = r.lock.Close()
}

// removeStaleRuns clears away runs of this user whose outer process was killed.
func removeStaleRuns() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), runPrefix+"*"))
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, keepFile)); err == nil {
			continue
		}
		lock, err := lockRun(dir)
		if err != nil {
			continue
		}
		_ = killRun(dir)
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// killRun kills the processes of a run other than the caller, waits until they
// are gone and removes the control groups that they leave.
func killRun(dir string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		pids := processesOf(dir)
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		var err error
		if len(pids) > 0 {
			err = fmt.Errorf("processes %v of %s do not end", pids, dir)
		} else {
			err = removeCgroups(dir) // which containers that are ending keep
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// processesOf returns the processes other than the caller that carry a run's
// mark in their environment.
func processesOf(dir string) []int {
	mark := []byte(runEnv + "=" + dir)
	var found []int
	for _, pid := range processes() {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for entry := range bytes.SplitSeq(environment, []byte{0}) {
			if bytes.Equal(entry, mark) {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// ProcessesUnder returns the running processes whose executable is in dir or
// below it, such as plugins in a plugin folder.
func ProcessesUnder(dir string) ([]int, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var found []int
	for _, pid := range processes() {
		// No link: a process of another user, or one that has just ended.
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			continue
		}
		if rel, err := filepath.Rel(dir, exe); err == nil && filepath.IsLocal(rel) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
