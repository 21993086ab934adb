package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// The two plugins of every comparison.
const (
	replaced = "plugin replaced"
	ours     = "ours"
)

// run is one comparison. Both plugins do the same work right after one another
// in every round, so what else the machine does weighs on both alike.
type run struct {
	binaries  map[string]string // path by plugin
	storeName string            // as Velero knows the object store
	links     []link
	works     []work
	rounds    int
	launches  int
	perfDir   string // where to record profiles of ours; empty for none

	veleroLog logrus.FieldLogger
	readings  *readings
	progress  func(format string, args ...any)
}

// link is a way to the store.
type link struct {
	name     string
	location map[string]string // configuration of a store at the end of it
}

// turns is the order of a round. It alternates, so that neither plugin always
// finds what the other left behind.
func turns(round int) []string {
	order := []string{replaced, ours}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func (r *run) all(ctx context.Context) error {
	if err := r.sizes(); err != nil {
		return err
	}
	for round := range r.launches {
		for _, plugin := range turns(round) {
			if err := r.launch(ctx, plugin); err != nil {
				return err
			}
			if err := r.validate(ctx, plugin); err != nil {
				return err
			}
		}
	}
	r.progress("%d starts of each plugin measured", r.launches)
	for round := range r.rounds {
		for _, link := range r.links {
			for _, work := range r.works {
				for _, plugin := range turns(round) {
					if err := r.work(ctx, plugin, link, work, round); err != nil {
						return fmt.Errorf("%s: %s, %s: %w", plugin, link.name, work.name, err)
					}
				}
			}
		}
	}
	return nil
}

func (r *run) sizes() error {
	for plugin, path := range r.binaries {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		r.readings.add(newFigure("", "binary", binarySize), plugin, float64(info.Size())/1e6)
	}
	return nil
}

func (r *run) launch(ctx context.Context, plugin string) error {
	started, err := measureLaunch(ctx, r.binaries[plugin])
	if err != nil {
		return err
	}
	r.readings.add(newFigure("", "start", toHandshake), plugin, milliseconds(started.handshake))
	r.readings.add(newFigure("", "start", residentMem), plugin, mebibytes(started.resident))
	return nil
}

// validate is what Velero does once a minute for each location, from the start
// of a process to its end.
func (r *run) validate(ctx context.Context, plugin string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	begin := time.Now()
	h, err := r.start(plugin, r.links[0])
	if err != nil {
		return err
	}
	defer h.stop()
	if _, err := h.ListCommonPrefixes(bucketName, "", "/"); err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	resident, err := h.process.resident()
	if err != nil {
		return err
	}
	cpu, err := h.process.cpu()
	if err != nil {
		return err
	}
	h.stop()
	const name = "validate a location"
	r.readings.add(newFigure(r.links[0].name, name, wallTime), plugin, milliseconds(time.Since(begin)))
	r.readings.add(newFigure(r.links[0].name, name, cpuTime), plugin, milliseconds(cpu))
	r.readings.add(newFigure(r.links[0].name, name, residentMem), plugin, mebibytes(resident))
	return nil
}

// work takes one reading in a process of its own, as Velero starts one for
// nearly everything it does.
func (r *run) work(ctx context.Context, plugin string, link link, work work, round int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := r.start(plugin, link)
	if err != nil {
		return err
	}
	defer h.stop()
	if plugin == ours && r.perfDir != "" {
		profile, err := startProfile(r.perfDir, fmt.Sprintf("%s %s %d", link.name, work.name, round), h.process)
		if err != nil {
			return err
		}
		defer profile.stop()
	}

	before, err := h.process.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := work.do(ctx, h, plugin); err != nil {
		return err
	}
	elapsed := time.Since(begin)
	after, err := h.process.cpu()
	if err != nil {
		return err
	}
	peak, err := h.process.peak()
	if err != nil {
		return err
	}

	add := func(metric string, value float64) {
		r.readings.add(newFigure(link.name, work.name, metric), plugin, value)
	}
	if work.bytes > 0 {
		add(throughput, mebibytes(work.bytes)/elapsed.Seconds())
		add(cpuPerGiB, (after-before).Seconds()*(1<<30)/float64(work.bytes))
	} else {
		add(wallTime, milliseconds(elapsed))
		add(cpuTime, milliseconds(after-before))
	}
	add(peakMem, mebibytes(peak))
	r.progress("round %d/%d  %-8s  %-16s  %-15s  %v", round+1, r.rounds, link.name, work.name, plugin,
		elapsed.Round(time.Millisecond))
	return nil
}

func (r *run) start(plugin string, link link) (*host, error) {
	return startHost(r.binaries[plugin], r.storeName, link.location, r.veleroLog)
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
