package main

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// The example locations are read, and their configuration is accepted as far as
// that can be told without a server.
func TestExampleLocations(t *testing.T) {
	bare(t)
	log := slog.New(slog.DiscardHandler)
	for pattern, checked := range map[string]sdk.Checked{"bsl*.yaml": s3.New(log), "vsl*.yaml": newSnapshotter(log)} {
		files, err := filepath.Glob("../../examples/aws/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no examples %s: %v", pattern, err)
		}
		for _, name := range files {
			l, err := location.ReadFile(name, "")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if l.PluginName() != "velero.io/aws" {
				t.Errorf("%s: provider %s", name, l.PluginName())
			}
			config := l.InitConfig("")
			config[location.CredentialsFileKey] = file(t, "["+cmp.Or(config["profile"], "default")+"]\naws_access_key_id = a\naws_secret_access_key = b\n")
			if _, err := checked.Checks(config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// dataProtectionApplication is the part of an example that reaches the plugin.
type dataProtectionApplication struct {
	Spec struct {
		Configuration struct {
			Velero struct {
				PodConfig struct {
					Env []struct{ Name, Value string }
				}
			}
		}
		BackupLocations, SnapshotLocations []struct {
			Velero struct{ Config map[string]string }
		}
	}
}

// The locations of the DPAs are accepted, with the variables that they set, and
// have no key that the operator refuses.
func TestExampleApplications(t *testing.T) {
	files, err := filepath.Glob("../../examples/aws/dpa*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range files {
		bare(t)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var dpa dataProtectionApplication
		if err := yaml.Unmarshal(text, &dpa); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, key := range configKeys() {
			known[key.Env] = true
		}
		for _, env := range dpa.Spec.Configuration.Velero.PodConfig.Env {
			if t.Setenv(env.Name, env.Value); !known[env.Name] {
				t.Errorf("%s sets the unknown variable %s", name, env.Name)
			}
		}
		for _, l := range dpa.Spec.SnapshotLocations {
			if _, err := parseSettings(l.Velero.Config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, key := range configKeys() {
				if _, set := l.Velero.Config[key.Name]; set && key.Env != "" {
					t.Errorf("%s: the operator refuses the key %s", name, key.Name)
				}
			}
		}
		for _, l := range dpa.Spec.BackupLocations {
			if _, err := s3.New(slog.New(slog.DiscardHandler)).ConfigKeys().Parse(l.Velero.Config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// policy returns the actions that an example allows.
func policy(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../examples/aws/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(text, &p); err != nil || len(p.Statement) != 1 {
		t.Fatalf("%s: %v", name, err)
	}
	return p.Statement[0].Action
}

// The policies allow what backups, restores and checks need, and nothing more.
func TestPolicies(t *testing.T) {
	snapshots, keys := policy(t, "policy-snapshots.json"), policy(t, "policy-snapshots-kms.json")
	works := func(encrypted bool, actions ...string) error {
		s := newScene(t)
		s.Limit(actions...)
		volume := s.AddVolume(awsfake.Volume{Zone: region + "a", Size: 1, Encrypted: encrypted})
		id, err := s.CreateSnapshot(t.Context(), volume, "", veleroTags)
		if err != nil {
			return err
		}
		if _, _, err := s.walk(); err != nil {
			return err
		}
		if _, err := s.CreateVolumeFromSnapshot(t.Context(), id, "gp3", "", 0); err != nil {
			return err
		}
		return s.DeleteSnapshot(t.Context(), id)
	}
	if err := works(false, snapshots...); err != nil {
		t.Error(err)
	}
	if err := works(true, append(keys, snapshots...)...); err != nil {
		t.Error(err)
	}
	for i, action := range snapshots {
		if err := works(false, without(snapshots, i)...); !codeAccessDenied.Is(err) {
			t.Errorf("%s is not needed: %v", action, err)
		}
	}
	for i, action := range keys {
		if err := works(true, append(without(keys, i), snapshots...)...); !codeKMS.Is(err) {
			t.Errorf("%s is not needed: %v", action, err)
		}
	}
}

func without(list []string, i int) []string {
	return append(append([]string{}, list[:i]...), list[i+1:]...)
}
