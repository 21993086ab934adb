package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestBoundMet(t *testing.T) {
	for _, test := range []struct {
		bound          bound
		replaced, ours float64
		want           bool
	}{
		{bound{limit: 0.4}, 10, 4, true},
		{bound{limit: 0.4}, 10, 4.1, false},
		{bound{limit: 1.5, atLeast: true}, 10, 15, true},
		{bound{limit: 1.5, atLeast: true}, 10, 14, false},
		{bound{limit: 70, absolute: "MiB"}, 10, 70, true},
		{bound{limit: 70, absolute: "MiB"}, 1000, 71, false},
	} {
		if got := test.bound.met(test.replaced, test.ours); got != test.want {
			t.Errorf("%v of %v before and %v now: %v", test.bound, test.replaced, test.ours, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, bytes := range map[string]int64{"1 B": 1, "16 KiB": 16 << 10, "256 MiB": 256 << 20, "1 GiB": 1 << 30} {
		for _, spelling := range []string{text, strings.ReplaceAll(text, " ", "")} {
			if got, err := parseSize(spelling); err != nil || got != bytes {
				t.Errorf("parseSize(%q) = %d, %v, want %d", spelling, got, err, bytes)
			}
		}
		if got := formatSize(bytes); got != text {
			t.Errorf("formatSize(%d) = %q, want %q", bytes, got, text)
		}
	}
	for _, text := range []string{"", "1", "MiB", "-1 MiB", "0 B", "1 MB", "1.5 GiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

// filled holds one value of each figure that has a target.
func filled(before, now float64) *readings {
	r := newReadings()
	for _, metric := range []string{toHandshake, residentMem} {
		r.add(newFigure("", "start", metric), replaced, before)
		r.add(newFigure("", "start", metric), ours, now)
	}
	r.add(newFigure("", "binary", binarySize), replaced, before)
	r.add(newFigure("", "binary", binarySize), ours, now)
	for _, link := range []string{loopback, slow} {
		for _, work := range []string{"put 256 MiB", "get 256 MiB"} {
			for _, metric := range []string{throughput, cpuPerGiB, peakMem} {
				r.add(newFigure(link, work, metric), replaced, before)
				r.add(newFigure(link, work, metric), ours, now)
			}
		}
	}
	return r
}

func TestEveryTargetFindsItsFigure(t *testing.T) {
	for _, line := range compare(filled(100, 50)) {
		if line.OK == nil {
			t.Errorf("%s: no figure", line.Figure)
			continue
		}
		if *line.Ratio != 0.5 {
			t.Errorf("%s: ratio %v, want 0.5", line.Figure, *line.Ratio)
		}
	}
	for _, line := range compare(newReadings()) {
		if line.OK != nil {
			t.Errorf("%s: judged without a figure", line.Figure)
		}
	}
}

func TestReports(t *testing.T) {
	var tables, machine bytes.Buffer
	if err := writeTables(&tables, facts{}, filled(100, 30)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stripped binary", "0.30", "slow", "get 256 MiB", "NO", "yes"} {
		if !strings.Contains(tables.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, &tables)
		}
	}
	if err := writeJSON(&machine, facts{}, filled(100, 30)); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Figures []struct{ Ratio float64 }
		Matrix  []struct {
			Plugin, Metric, Unit string
			Median               float64
		}
	}
	if err := json.Unmarshal(machine.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Figures) != len(targets()) || report.Figures[0].Ratio != 0.3 {
		t.Errorf("figures %+v", report.Figures)
	}
	if len(report.Matrix) == 0 || report.Matrix[0].Plugin != replaced || report.Matrix[0].Median != 100 || report.Matrix[0].Unit == "" {
		t.Errorf("matrix %+v", report.Matrix)
	}
}
