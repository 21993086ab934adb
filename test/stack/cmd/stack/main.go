// Stack builds the servers of the tests, and keeps a cluster with Velero and
// MinIO running to try things on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const usage = `usage: stack COMMAND

  build [TOOL...]     build what is missing of the servers that the tests need,
                      or of the tools named, and print their paths
  up [--plugins DIR]  start a control plane, MinIO and Velero, with the plugins
                      in DIR (bin if not given), and keep them running; with
                      --node in pods, on a node, which takes root
  down                stop them
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errors.New("no command")
	}
	switch args[0] {
	case "build":
		return build(ctx, args[1:])
	case "up":
		flags := flag.NewFlagSet("up", flag.ExitOnError)
		plugins := flags.String("plugins", "bin", "`folder` with the built plugins")
		node := flags.Bool("node", false, "run pods, and Velero in them")
		_ = flags.Parse(args[1:])
		return up(ctx, *plugins, *node)
	case keepRunning:
		return serve(ctx, args[2:], args[1] == withNode)
	case "down":
		return down(ctx)
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("no command %q", args[0])
	}
}

func build(ctx context.Context, names []string) error {
	wanted := tools.All()
	if len(names) > 0 {
		wanted = nil
	}
	for _, name := range names {
		wanted = append(wanted, tools.Tool(name))
	}
	if len(names) == 0 {
		tools.InstallNodeJS(ctx, os.Stderr)
	}
	commands, err := tools.Ensure(ctx, os.Stderr, wanted...)
	if err != nil {
		return err
	}
	paths := map[string]bool{}
	for _, argv := range commands {
		path := argv[0]
		if len(argv) > 1 && filepath.IsAbs(argv[1]) {
			path = argv[1] // a script and its interpreter
		}
		paths[path] = true
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		fmt.Println(path)
	}
	return nil
}

// stopGrace is what the servers may take to stop in order.
const stopGrace = 20 * time.Second

func down(ctx context.Context) error {
	err := stack.StopDetached(ctx, stopGrace)
	if errors.Is(err, stack.ErrNotRunning) {
		fmt.Println("no stack is up")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println("stopped; no process is left")
	return nil
}
