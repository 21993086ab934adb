package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pluginProcess reads the figures of a process that somebody else started.
type pluginProcess int

// childRunning finds the one child of this process that runs command, which
// Velero's client starts without telling its process ID.
func childRunning(command string) (pluginProcess, error) {
	target, err := filepath.EvalSymlinks(command)
	if err != nil {
		return 0, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, stat := range stats {
		dir := filepath.Dir(stat)
		if executable, err := os.Readlink(filepath.Join(dir, "exe")); err != nil || executable != target {
			continue
		}
		if parent, err := parentOf(stat); err != nil || parent != os.Getpid() {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		return pluginProcess(pid), err
	}
	return 0, fmt.Errorf("no child process runs %s", command)
}

// parentOf takes the path of a stat file. The fields behind the command name,
// which may itself hold blanks and parentheses, are: state, parent, ...
func parentOf(stat string) (int, error) {
	data, err := os.ReadFile(stat)
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0, fmt.Errorf("%s: too short", stat)
	}
	return strconv.Atoi(string(fields[1]))
}

// cpu is the time, in user and kernel mode, that all threads have used so far.
// The clock of a process counts nanoseconds, unlike the ticks of /proc.
func (p pluginProcess) cpu() (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^int(p)<<3|scheduler), &now); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", p, err)
	}
	return time.Duration(now.Nano()), nil
}

// resident is the memory that the process holds now, in bytes.
func (p pluginProcess) resident() (int64, error) { return p.status("VmRSS") }

// peak is the most that it has held since it was started, in bytes.
func (p pluginProcess) peak() (int64, error) { return p.status("VmHWM") }

func (p pluginProcess) status(field string) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		value, found := strings.CutPrefix(lines.Text(), field+":")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("process %d has no %s: it ended", p, field)
}
