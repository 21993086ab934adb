// Demo backs up an application through a real Velero server, a plugin of this
// project and MinIO, deletes it, restores it, and compares every object. Its
// exit code is 0 if all are identical and nothing was left behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/e2e/app"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const pluginName = "velero-plugin-for-aws"

// timeout bounds the whole demo, builds of the servers not included.
const timeout = 5 * time.Minute

func main() {
	plugins := flag.String("plugins", "bin", "`folder` with the built plugins")
	rules := flag.Bool("ignored", false, "print the fields that the comparison ignores, and exit")
	keep := flag.Bool("keep", false, "keep the logs and data of the servers")
	flag.Parse()
	if *rules {
		for _, rule := range app.IgnoredFields() {
			fmt.Println(rule)
		}
		return
	}
	program := stack.Program{Name: "demo", Needs: tools.Core(), Timeout: timeout, Keep: *keep, KeepAfterError: true}
	plugin, err := findPlugin(*plugins)
	program.Check(err)
	program.Run(func(ctx context.Context, servers *stack.Stack) error {
		d := &demo{servers: servers, plugin: plugin, start: time.Now()}
		return d.run(ctx)
	})
}

func findPlugin(dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, pluginName))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no plugin: %w; build it with make build, or name its folder with --plugins", err)
	}
	return path, nil
}

// pluginVersion is what the plugin, run by hand, tells of itself, in one line.
func pluginVersion(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return pluginName + ", version unknown"
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), ", ")
}
