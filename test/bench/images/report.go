package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that was read of a workload, a reading for each round.
type report struct {
	title                                     string
	reference, direct, first, second, restore []reading
}

// facts say under which circumstances a run was made.
type facts struct {
	rounds, workers int
	medium          string // where the servers' data are
}

// target is a value with the bound that the project has set itself.
type target struct {
	title    string
	measured string
	bound    string
	met      bool
}

// targets are judged by all workloads, but for the comparison with the reference:
// it is about image streams that do not know of each other.
func targets(reports []report, tags, lists reading) []target {
	faster := ratio(reports[0].reference, reports[0].first)
	var part float64
	var bytes int64
	plugin := []reading{tags}
	for _, r := range reports {
		part = max(part, 100*ratio(r.second, r.first))
		bytes = max(bytes, highest(r.second, func(one reading) int64 { return one.blobBytes }))
		plugin = slices.Concat(plugin, r.first, r.second, r.restore)
	}
	peak := mebibytes(highest(plugin, func(one reading) int64 { return one.peak }))
	more := tags.api - manyStreams
	return []target{
		{"first backup, against the reference's way", fmt.Sprintf("%.1fx faster", faster), ">= 4x", faster >= 4},
		{"peak memory of the plugin", fmt.Sprintf("%.0f MiB", peak), "<= 100 MiB", peak <= 100},
		{"second backup, of the time of the first", fmt.Sprintf("%.1f %%", part), "<= 5 %", part <= 5},
		{"bytes of blobs that a second backup reads", fmt.Sprint(bytes), "0", bytes == 0},
		{fmt.Sprintf("peak memory beside %d image streams of %d KiB", largeStreams, largeSize>>10), fmt.Sprintf("%.0f MiB", mebibytes(lists.peak)), "<= 100 MiB", lists.peak <= 100<<20},
		{fmt.Sprintf("API calls for %d tags, beyond one for each stream", manyTags), fmt.Sprint(more), "<= 10", more <= 10},
	}
}

// write prints the tables and reports whether all targets are met.
func write(w io.Writer, f facts, reports []report, tags, lists reading) bool {
	fmt.Fprintf(w, "%d images of %d layers of %d MiB, of which %d are the same in all; medians of %d\n",
		images, layers, layerSize>>20, sharedLayers, f.rounds)
	fmt.Fprintf(w, "link to the registry: %v round trip, %d MiB/s for each connection; bucket on loopback, data in %s; image streams backed up at a time: %d\n",
		toRegistry.RoundTrip, toRegistry.BytesPerSecond>>20, f.medium, f.workers)
	fmt.Fprintf(w, "%d CPUs, load %s at the end\n", runtime.NumCPU(), load())
	for _, r := range reports {
		r.write(w)
	}
	fmt.Fprintf(w, "\n%d tags in %d image streams: %d API calls, %.2f s\n\n", manyTags, manyStreams, tags.api, tags.took.Seconds())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "target\tmeasured\tbound\tok\n")
	all := true
	for _, t := range targets(reports, tags, lists) {
		all = all && t.met
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.title, t.measured, t.bound, verdict(t.met))
	}
	_ = table.Flush()
	return all
}

func (r report) write(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%s\ttime\tmin - max\treference / this\tpeak memory\tblobs from or to registry\trequests: registry\tbucket\tAPI\n", r.title)
	for _, row := range []struct {
		title    string
		readings []reading
		plugin   bool
	}{
		{"the reference's way", r.reference, false},
		{"the same, straight into the bucket", r.direct, false},
		{"first backup", r.first, true},
		{"second backup", r.second, true},
		{"restore into an empty registry", r.restore, true},
	} {
		times := sorted(row.readings)
		fmt.Fprintf(table, "%s\t%.2f s\t%.2f - %.2f\t%.1f", row.title, median(row.readings).Seconds(),
			times[0].Seconds(), times[len(times)-1].Seconds(), ratio(r.reference, row.readings))
		if last := row.readings[len(row.readings)-1]; row.plugin {
			peak := highest(row.readings, func(one reading) int64 { return one.peak })
			fmt.Fprintf(table, "\t%.0f MiB\t%.1f MiB\t%d\t%d\t%d", mebibytes(peak), mebibytes(last.blobBytes), last.registry, last.bucket, last.api)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush()
}

func verdict(met bool) string {
	if met {
		return "yes"
	}
	return "NO"
}

// ratio is how many times as long the first takes as the second.
func ratio(a, b []reading) float64 { return median(a).Seconds() / median(b).Seconds() }

func median(readings []reading) time.Duration {
	times := sorted(readings)
	return times[len(times)/2]
}

func sorted(readings []reading) []time.Duration {
	var times []time.Duration
	for _, r := range readings {
		times = append(times, r.took)
	}
	slices.Sort(times)
	return times
}

func highest(readings []reading, of func(reading) int64) int64 {
	return of(slices.MaxFunc(readings, func(a, b reading) int { return cmp.Compare(of(a), of(b)) }))
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// load is the machine's load average of the last minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}
