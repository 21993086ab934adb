package main

import "slices"

// Links between plugin and store.
const (
	loopback = "loopback"
	slow     = "slow"
)

// Metrics, and the units in which they are collected.
const (
	binarySize  = "binary size"  // MB (10^6)
	toHandshake = "to handshake" // ms
	residentMem = "resident"     // MiB
	peakMem     = "peak memory"  // MiB
	throughput  = "throughput"   // MiB/s
	wallTime    = "time"         // ms, of all operations of a work
	cpuPerGiB   = "CPU per GiB"  // s
	cpuTime     = "CPU"          // ms, of all operations of a work
)

// figure is one thing that is measured of each plugin.
type figure struct {
	Link   string `json:"link,omitempty"`
	Work   string `json:"work"`
	Metric string `json:"metric"`
	Unit   string `json:"unit"`
}

func newFigure(link, work, metric string) figure {
	units := map[string]string{
		binarySize: "MB", toHandshake: "ms", residentMem: "MiB", peakMem: "MiB",
		throughput: "MiB/s", wallTime: "ms", cpuPerGiB: "s/GiB", cpuTime: "ms",
	}
	return figure{Link: link, Work: work, Metric: metric, Unit: units[metric]}
}

// readings holds all values of a run in the order in which they first came.
type readings struct {
	figures []figure
	values  map[figure]map[string][]float64 // by plugin
}

func newReadings() *readings {
	return &readings{values: make(map[figure]map[string][]float64)}
}

func (r *readings) add(f figure, plugin string, value float64) {
	byPlugin, known := r.values[f]
	if !known {
		byPlugin = make(map[string][]float64)
		r.values[f] = byPlugin
		r.figures = append(r.figures, f)
	}
	byPlugin[plugin] = append(byPlugin[plugin], value)
}

// summary is what is reported of the values of one figure and plugin.
type summary struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
}

func (r *readings) summary(f figure, plugin string) (summary, bool) {
	values := r.values[f][plugin]
	if len(values) == 0 {
		return summary{}, false
	}
	return summary{Median: median(values), Min: slices.Min(values), Max: slices.Max(values), Values: values}, true
}

// highest is the largest value of a metric over every link and work.
func (r *readings) highest(metric, plugin string) (float64, bool) {
	var all []float64
	for _, f := range r.figures {
		if f.Metric == metric {
			all = append(all, r.values[f][plugin]...)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	return slices.Max(all), true
}

// median of an even number of values is the mean of the middle two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
