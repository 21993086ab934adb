// Itembench measures what velero-plugins costs a backup and a restore of a
// namespace with thousands of objects: with a real Velero server, with and
// without the plugin, in turn.
//
//	go run ./test/bench/items
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

const (
	measured = "velero-plugins"
	warmUp   = -1 // the round that is not counted
)

func main() {
	plugins := flag.String("plugins", "bin", "`folder` with the built plugins")
	rounds := flag.Int("rounds", 3, "readings with the plugin, and as many without")
	flag.Parse()
	program := stack.Program{Name: "itembench", Needs: tools.Core(), Timeout: 30 * time.Minute}
	dir, err := filepath.Abs(*plugins)
	program.Check(err)
	program.Run(func(ctx context.Context, servers *stack.Stack) error { return run(ctx, servers, dir, *rounds) })
}

func run(ctx context.Context, servers *stack.Stack, plugins string, rounds int) error {
	b, err := prepare(ctx, servers, plugins)
	if err != nil {
		return err
	}
	// The first restore into a fresh cluster is faster than those that follow.
	if _, err := b.read(ctx, warmUp, true); err != nil {
		return err
	}
	var with, without readings
	for round := range rounds {
		// Each side comes first in turn: what the one leaves behind slows the other.
		for _, plugin := range []bool{round%2 == 0, round%2 != 0} {
			r, err := b.read(ctx, round, plugin)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d, plugin %t: backup %.2f s, restore %.2f s\n", round+1, plugin, r.backup.Seconds(), r.restore.Seconds())
			if plugin {
				with = append(with, r)
			} else {
				without = append(without, r)
			}
		}
	}
	fmt.Printf("%d objects, medians of %d\n\n", objects(), rounds)
	fmt.Printf("| | with the plugin | without | the plugin adds |\n|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		of   func(reading) time.Duration
	}{
		{"backup", func(r reading) time.Duration { return r.backup }},
		{"restore", func(r reading) time.Duration { return r.restore }},
	} {
		x, y := with.median(row.of), without.median(row.of)
		fmt.Printf("| %s | %.2f s | %.2f s | %.2f s, %.2f ms an item |\n", row.name, x.Seconds(), y.Seconds(),
			(x - y).Seconds(), float64((x-y).Microseconds())/1000/float64(objects()))
	}
	return nil
}

type reading struct{ backup, restore time.Duration }

type readings []reading

func (r readings) median(of func(reading) time.Duration) time.Duration {
	var values []time.Duration
	for _, one := range r {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
