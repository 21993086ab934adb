package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// profile is a recording of perf(1), which needs nothing of the process that it
// observes but its symbols.
type profile struct{ command *exec.Cmd }

// startProfile writes to a file in dir that is named after what is recorded.
func startProfile(dir, name string, process pluginProcess) (*profile, error) {
	file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".perf")
	command := exec.Command("perf", "record", "--quiet", "--event", "cpu-clock", "--freq", "997",
		"--call-graph", "fp", "--output", file, "--pid", strconv.Itoa(int(process)))
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("perf: %w", err)
	}
	return &profile{command}, nil
}

// stop ends the recording in good order; perf leaves a file to report on.
func (p *profile) stop() {
	p.command.Process.Signal(os.Interrupt)
	p.command.Wait()
}
