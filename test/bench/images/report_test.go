package main

import (
	"io"
	"testing"
	"time"
)

func TestWriteJudgesTargets(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(streams, tags *report, many, lists *reading)
		met  bool
	}{
		{"at the bounds", func(*report, *report, *reading, *reading) {}, true},
		{"a slower first backup", func(streams, _ *report, _, _ *reading) { streams.first[0].took += time.Millisecond }, false},
		{"a slower second backup", func(_, tags *report, _, _ *reading) { tags.second[0].took += time.Millisecond }, false},
		{"a second backup that reads", func(_, tags *report, _, _ *reading) { tags.second[0].blobBytes++ }, false},
		{"memory of a restore", func(_, tags *report, _, _ *reading) { tags.restore[0].peak += 1 << 20 }, false},
		{"memory of many tags", func(_, _ *report, many, _ *reading) { many.peak += 1 << 20 }, false},
		{"memory of large image streams", func(_, _ *report, _, lists *reading) { lists.peak += 1 << 20 }, false},
		{"a call more", func(_, _ *report, many, _ *reading) { many.api++ }, false},
		{"a slower stream of many tags", func(_, tags *report, _, _ *reading) { tags.reference[0].took /= 2 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			streams, tags := atBounds(), atBounds()
			many := reading{api: manyStreams + 10, peak: 100 << 20}
			lists := reading{peak: 100 << 20}
			c.edit(&streams, &tags, &many, &lists)
			if met := write(io.Discard, facts{rounds: 1}, []report{streams, tags}, many, lists); met != c.met {
				t.Errorf("met: %v", met)
			}
		})
	}
}

func atBounds() report {
	of := func(took time.Duration) []reading { return []reading{{took: took, peak: 100 << 20}} }
	return report{
		reference: of(40 * time.Second), direct: of(20 * time.Second),
		first: of(10 * time.Second), second: of(500 * time.Millisecond), restore: of(10 * time.Second),
	}
}

func TestMedianAndHighest(t *testing.T) {
	readings := []reading{{took: 3, peak: 1}, {took: 1, peak: 5}, {took: 2, peak: 2}}
	if got := median(readings); got != 2 {
		t.Errorf("median %d", got)
	}
	if got := highest(readings, func(r reading) int64 { return r.peak }); got != 5 {
		t.Errorf("highest %d", got)
	}
}
