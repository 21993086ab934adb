package azuredisk

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

func TestSnapshotTags(t *testing.T) {
	for name, c := range map[string]struct {
		disk, velero, config, want map[string]string
	}{
		"none":            {nil, nil, nil, nil},
		"slashes":         {nil, map[string]string{"velero/key/2": "v"}, nil, map[string]string{"velero-key-2": "v"}},
		"velero counts":   {map[string]string{"a": "disk"}, map[string]string{"a": "velero"}, nil, map[string]string{"a": "velero"}},
		"config counts":   {map[string]string{"a": "disk"}, map[string]string{"a": "velero"}, map[string]string{"A": "config"}, map[string]string{"A": "config"}},
		"reserved":        {map[string]string{"microsoft-x": "y", "Azure": "y", "windowsX": "y", "b": "c"}, nil, nil, map[string]string{"b": "c"}},
		"forbidden":       {map[string]string{"a?": "y", "b": strings.Repeat("v", 257)}, nil, nil, nil},
		"facts of others": {map[string]string{maxSharesTag: "9"}, nil, nil, nil},
	} {
		s := &compute{settings: settings{tags: c.config}, log: slog.New(slog.DiscardHandler)}
		if got := s.snapshotTags(c.velero, &resource{Tags: c.disk}); !maps.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Of too many tags those of Velero and of the configuration stay.
func TestManyTags(t *testing.T) {
	log := testlog.New()
	s := &compute{settings: settings{tags: map[string]string{"owner": "x"}}, log: log.Logger()}
	disk := &resource{Tags: map[string]string{}}
	for i := range 60 {
		disk.Tags[fmt.Sprintf("tag-%02d", i)] = "v"
	}
	got := s.snapshotTags(map[string]string{"velero.io/backup": "b", "velero.io/pv": "p", "label": "l"}, disk)
	if len(got) != maxTags || got["velero.io-backup"] != "b" || got["velero.io-pv"] != "p" || got["owner"] != "x" || got["label"] != "l" {
		t.Errorf("%d tags: %q", len(got), got)
	}
	if !strings.Contains(log.String(), "at most 50") {
		t.Errorf("log: %s", log)
	}
}

func TestSnapshotName(t *testing.T) {
	for _, disk := range []string{"d", strings.Repeat("d", 80), strings.Repeat("d", 43), strings.Repeat("d", 44)} {
		name := snapshotName(disk)
		if len(name) > maxName || !strings.HasPrefix(name, disk[:min(len(disk), 43)]+"-") {
			t.Errorf("%s: %s", disk, name)
		}
	}
}
