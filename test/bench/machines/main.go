// Machinebench measures what kubevirt-velero-plugin costs a backup of hundreds of
// virtual machines: with a real Velero server, with and without the plugin, in
// turn.
//
//	go run ./test/bench/machines
package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const measured = "kubevirt-velero-plugin"

func main() {
	plugins := flag.String("plugins", "bin", "`folder` with the built plugins")
	machines := flag.Int("machines", 500, "virtual machines")
	disks := flag.Int("disks", 4, "disks of each")
	rounds := flag.Int("rounds", 2, "backups with the plugin, and as many without")
	flag.Parse()
	program := stack.Program{Name: "machinebench", Needs: tools.Core(), Timeout: 30 * time.Minute}
	dir, err := filepath.Abs(*plugins)
	program.Check(err)
	program.Run(func(ctx context.Context, servers *stack.Stack) error {
		return run(ctx, servers, dir, workload{*machines, *disks}, *rounds)
	})
}

func run(ctx context.Context, servers *stack.Stack, plugins string, w workload, rounds int) error {
	b, err := prepare(ctx, servers, plugins, w)
	if err != nil {
		return err
	}
	fmt.Printf("%d machines with %d disks each\n\n| round | plugin | backup | requests to the API | memory of the plugin |\n|---|---|---|---|---|\n", w.machines, w.disks)
	for round := range rounds {
		// Each side comes first in turn: what the one leaves behind slows the other.
		for _, plugin := range []bool{round%2 == 0, round%2 != 0} {
			r, err := b.read(ctx, round, plugin)
			if err != nil {
				return err
			}
			fmt.Printf("| %d | %t | %.2f s | %.0f | %.1f MiB |\n", round+1, plugin, r.time.Seconds(), r.requests, float64(r.memory)/(1<<20))
		}
	}
	return nil
}
