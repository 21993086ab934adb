package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// provide returns the absolute paths of the two plugins and of the server, and
// builds those that no option names: the baseline into dir, the server into the
// cache of the test stack. It must run in this folder for that.
func provide(ctx context.Context, o options, p provider, dir string) (plugins map[string]string, server string, err error) {
	if o.baseline == "" {
		o.baseline = filepath.Join(dir, "baseline")
		progress("building the baseline plugin")
		if err := buildBaseline(ctx, p.name, o.baseline); err != nil {
			return nil, "", err
		}
	}
	if o.ours == "" {
		o.ours = filepath.Join("..", "..", "..", "bin", p.binary)
	}
	if o.server == "" {
		if o.server, err = fromStack(ctx, p.server); err != nil {
			return nil, "", fmt.Errorf("no %s from the test stack: %w; name a binary with --server", p.server, err)
		}
	}
	plugins = map[string]string{}
	var errs [3]error
	plugins[ours], errs[0] = executable(o.ours, "build our plugin with `make build` or name it with --ours")
	plugins[replaced], errs[1] = executable(o.baseline, "name the baseline plugin with --baseline")
	server, errs[2] = executable(o.server, "name the server with --server")
	return plugins, server, errors.Join(errs[:]...)
}

// executable makes path absolute, as Velero does: a plugin reports it as the
// command to run.
func executable(path, fix string) (string, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, fix)
	}
	return filepath.Abs(found)
}

// copyPlugins copies the plugins into dir and returns the copies. A build during
// the run then changes nothing, and both files lie in the page cache alike: the
// kernel maps larger pieces of a file that the linker has just written, which
// would count as resident memory.
func copyPlugins(plugins map[string]string, dir string) (map[string]string, error) {
	copies := map[string]string{}
	for plugin, path := range plugins {
		to := filepath.Join(dir, strings.ReplaceAll(plugin, " ", "-"))
		if err := copyExecutable(to, path); err != nil {
			return nil, err
		}
		copies[plugin] = to
	}
	return copies, nil
}

func copyExecutable(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// buildBaseline builds with the flags of a release, except for those that no
// stock plugin uses.
func buildBaseline(ctx context.Context, provider, output string) error {
	source := "./baseline/" + provider
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("build %s: %w", source, err)
	}
	return nil
}

// fromStack asks the test stack's command for a server. It is a module of
// its own: one go.mod for both would raise the versions of what the baseline
// plugin stands for.
func fromStack(ctx context.Context, server string) (string, error) {
	command := exec.CommandContext(ctx, "go", "run", "./test/stack/cmd/stack", "build", strings.ToLower(server))
	command.Dir = filepath.Join("..", "..", "..")
	command.Env = append(os.Environ(), "GOWORK=")
	command.Stderr = os.Stderr
	output, err := command.Output()
	return strings.TrimSpace(string(output)), err
}
