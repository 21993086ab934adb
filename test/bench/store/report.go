package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// target is a figure with the bound that the project has set itself.
type target struct {
	title string
	// value reads the figure of one plugin; false if this run has not measured it.
	value  func(r *readings, plugin string) (float64, bool)
	format string
	bound  bound
}

// bound compares a plugin with the one it replaces, or with a fixed value.
type bound struct {
	limit    float64
	atLeast  bool   // limit is the least allowed, not the most
	absolute string // unit, where limit is a value instead of a ratio
}

func (b bound) String() string {
	sign, unit := "≤", "x"
	if b.atLeast {
		sign = "≥"
	}
	if b.absolute != "" {
		unit = " " + b.absolute
	}
	return fmt.Sprintf("%s %g%s", sign, b.limit, unit)
}

func (b bound) met(replaced, ours float64) bool {
	value := ours / replaced
	if b.absolute != "" {
		value = ours
	}
	if b.atLeast {
		return value >= b.limit
	}
	return value <= b.limit
}

// reference is the object size that the targets are about.
const reference = 256 << 20

func targets() []target {
	of := func(title, format string, f figure, b bound) target {
		return target{title: title, format: format, bound: b, value: func(r *readings, plugin string) (float64, bool) {
			s, measured := r.summary(f, plugin)
			return s.Median, measured
		}}
	}
	put, get := "put "+formatSize(reference), "get "+formatSize(reference)
	return []target{
		of("stripped binary", "%.1f MB", newFigure("", "binary", binarySize), bound{limit: 0.35}),
		of("exec to handshake line", "%.1f ms", newFigure("", "start", toHandshake), bound{limit: 0.4}),
		of("resident memory then", "%.1f MiB", newFigure("", "start", residentMem), bound{limit: 0.45}),
		of("put on loopback", "%.0f MiB/s", newFigure(loopback, put, throughput), bound{limit: 1, atLeast: true}),
		of("get on loopback", "%.0f MiB/s", newFigure(loopback, get, throughput), bound{limit: 1.1, atLeast: true}),
		of("CPU per GiB, put", "%.2f s", newFigure(loopback, put, cpuPerGiB), bound{limit: 0.8}),
		of("CPU per GiB, get", "%.2f s", newFigure(loopback, get, cpuPerGiB), bound{limit: 0.8}),
		{
			title: "peak memory, any work", format: "%.0f MiB", bound: bound{limit: 70, absolute: "MiB"},
			value: func(r *readings, plugin string) (float64, bool) { return r.highest(peakMem, plugin) },
		},
		of("put on slow link", "%.0f MiB/s", newFigure(slow, put, throughput), bound{limit: 1.5, atLeast: true}),
		of("get on slow link", "%.0f MiB/s", newFigure(slow, get, throughput), bound{limit: 3.5, atLeast: true}),
	}
}

// comparison is a line of the first table.
type comparison struct {
	Figure   string   `json:"figure"`
	Replaced *float64 `json:"replaced"` // null if not measured
	Ours     *float64 `json:"ours"`
	Ratio    *float64 `json:"ratio"`
	Target   string   `json:"target"`
	OK       *bool    `json:"ok"`

	format string
}

func compare(r *readings) []comparison {
	var lines []comparison
	for _, t := range targets() {
		line := comparison{Figure: t.title, Target: t.bound.String(), format: t.format}
		before, measuredBefore := t.value(r, replaced)
		now, measuredNow := t.value(r, ours)
		if measuredBefore && measuredNow {
			ratio, ok := now/before, t.bound.met(before, now)
			line.Replaced, line.Ours, line.Ratio, line.OK = &before, &now, &ratio, &ok
		}
		lines = append(lines, line)
	}
	return lines
}

// facts say under which circumstances a run was made.
type facts struct {
	CPUs      int               `json:"cpus"`
	LoadAtEnd float64           `json:"loadAtEnd"`
	Rounds    int               `json:"rounds"`
	Launches  int               `json:"launches"`
	Server    string            `json:"server"` // such as MinIO
	Store     string            `json:"store"`  // http or https
	SlowLink  string            `json:"slowLink"`
	Plugins   map[string]string `json:"plugins"`
}

func writeTables(w io.Writer, f facts, r *readings) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d CPUs, load %.1f at the end; medians of %d rounds, %d starts; %s over %s; slow link: %s\n",
		f.CPUs, f.LoadAtEnd, f.Rounds, f.Launches, f.Server, f.Store, f.SlowLink)
	for _, plugin := range []string{replaced, ours} {
		fmt.Fprintf(w, "%s: %s\n", plugin, f.Plugins[plugin])
	}

	fmt.Fprintf(table, "\nfigure\t%s\t%s\tratio\ttarget\tok\n", replaced, ours)
	for _, line := range compare(r) {
		if line.OK == nil {
			fmt.Fprintf(table, "%s\t-\t-\t-\t%s\tnot measured\n", line.Figure, line.Target)
			continue
		}
		fmt.Fprintf(table, "%s\t"+line.format+"\t"+line.format+"\t%.2f\t%s\t%s\n",
			line.Figure, *line.Replaced, *line.Ours, *line.Ratio, line.Target, verdict(*line.OK))
	}

	fmt.Fprintf(table, "\nlink\twork\tmetric\t%s (min - max)\t%s (min - max)\tratio\n", replaced, ours)
	for _, f := range r.figures {
		before, measuredBefore := r.summary(f, replaced)
		now, measuredNow := r.summary(f, ours)
		if !measuredBefore || !measuredNow {
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s, %s\t%s\t%s\t%.2f\n", f.Link, f.Work, f.Metric, f.Unit, before, now, now.Median/before.Median)
	}
	return table.Flush()
}

func verdict(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}

func (s summary) String() string {
	return fmt.Sprintf("%.4g (%.4g - %.4g)", s.Median, s.Min, s.Max)
}

func writeJSON(w io.Writer, f facts, r *readings) error {
	type measured struct {
		figure
		Plugin string `json:"plugin"`
		summary
	}
	var matrix []measured
	for _, f := range r.figures {
		for _, plugin := range []string{replaced, ours} {
			if s, ok := r.summary(f, plugin); ok {
				matrix = append(matrix, measured{f, plugin, s})
			}
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"facts": f, "figures": compare(r), "matrix": matrix})
}
