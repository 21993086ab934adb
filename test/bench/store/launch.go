package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// launch is what starting a plugin costs before Velero can talk to it.
type launch struct {
	handshake time.Duration // from exec to the handshake line
	resident  int64         // memory in bytes at that moment
}

// measureLaunch starts a plugin as Velero does, reads its handshake line and
// kills it.
func measureLaunch(ctx context.Context, plugin string) (launch, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, plugin, serverFlags...)
	command.Env = append(os.Environ(), "VELERO_PLUGIN=hello", "PLUGIN_PROTOCOL_VERSIONS=2",
		"PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000")
	stdout, err := command.StdoutPipe()
	if err != nil {
		return launch{}, err
	}
	begin := time.Now()
	if err := command.Start(); err != nil {
		return launch{}, err
	}
	defer command.Wait()
	defer cancel()

	line, err := bufio.NewReader(stdout).ReadString('\n')
	result := launch{handshake: time.Since(begin)}
	if err != nil {
		return launch{}, fmt.Errorf("%s ended without a handshake line: %w", plugin, err)
	}
	if !strings.HasPrefix(line, "1|2|") {
		return launch{}, fmt.Errorf("%s: %q is no handshake line", plugin, line)
	}
	result.resident, err = pluginProcess(command.Process.Pid).resident()
	return result, err
}
