package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// TestConfig reads a configuration with all keys.
func TestConfig(t *testing.T) {
	dir := files(t)
	p, _, err := readConfig(filepath.Join(dir, "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cloud := filepath.Join(dir, "cloud")
	secret := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"from-a-file"}}`
	if s := p.Store; s.Name != "example.io/fs" || s.Bucket != "bucket" || s.LargeObject != 5<<20 || s.HTTPClient == nil ||
		!reflect.DeepEqual(s.Config, map[string]string{"root": "/a", "credentialsFile": cloud}) ||
		!reflect.DeepEqual(s.Alternate, map[string]string{"root": "/b", "credentialsFile": cloud}) {
		t.Errorf("object store: %+v", s)
	}
	if s := p.Snapshotter; s.Name != "example.io/fs" || s.VolumeID != "v" || s.Zone != "z" || s.AbsentSnapshotID != "s" ||
		!reflect.DeepEqual(s.Config, map[string]string{"root": "/a"}) || s.Alternate != nil || string(s.PersistentVolume) != secret {
		t.Errorf("volume snapshotter: %+v", s)
	}
	removed := filepath.Join(dir, "volume")
	if err := os.WriteFile(removed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Snapshotter.DeleteVolume(t.Context(), removed); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(removed); err == nil {
		t.Error("deleteVolume was not given the id of the volume")
	}
	items := p.Items["example.io/stamp"]
	if len(items) != 2 || string(items[0]) != secret || !strings.Contains(string(items[1]), "9007199254740993") {
		t.Errorf("items: %s", items)
	}
	operation := plugintest.Operation{Kind: "BackupItemActionV2", Name: "example.io/copy", Item: []byte(secret)}
	if !reflect.DeepEqual(p.Operations, []plugintest.Operation{operation}) || p.StallLimit != 3*time.Second || p.Skip["start.list"] != "no reason" {
		t.Errorf("%s %s %v", p.Operations, p.StallLimit, p.Skip)
	}
}

// TestBreakBackend breaks and mends a backend which is a file.
func TestBreakBackend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken")
	b := &breaker{Begin: []string{"touch", file}, End: []string{"rm", file}}
	restore := b.start()
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	restore()
	if _, err := os.Stat(file); err == nil || b.problem() != nil {
		t.Errorf("not mended: %v", b.problem())
	}
	restore()
	if err := b.problem(); err == nil || !strings.Contains(err.Error(), "rm "+file) {
		t.Errorf("a program that fails is not noticed: %v", err)
	}
}
