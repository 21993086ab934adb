package main

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/ebs"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// The example locations are read, and their configuration is accepted as far as
// that can be told without a server.
func TestExampleLocations(t *testing.T) {
	awsfake.ClearEnvironment(t)
	log := slog.New(slog.DiscardHandler)
	for pattern, checked := range map[string]sdk.Checked{"bsl*.yaml": s3.New(log), "vsl*.yaml": ebs.New(log)} {
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
			config[location.CredentialsFileKey] = credentials(t, cmp.Or(config["profile"], "default"))
			if _, err := checked.Checks(t.Context(), sdk.ChecksInput{Config: config}); err != nil {
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
	snapshotKeys := ebs.New(slog.New(slog.DiscardHandler)).ConfigKeys()
	for _, name := range files {
		awsfake.ClearEnvironment(t)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var dpa dataProtectionApplication
		if err := yaml.Unmarshal(text, &dpa); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, key := range snapshotKeys {
			known[key.Env] = true
		}
		for _, env := range dpa.Spec.Configuration.Velero.PodConfig.Env {
			if t.Setenv(env.Name, env.Value); !known[env.Name] {
				t.Errorf("%s sets the unknown variable %s", name, env.Name)
			}
		}
		for _, l := range dpa.Spec.SnapshotLocations {
			if _, err := snapshotKeys.Parse(l.Velero.Config); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, key := range snapshotKeys {
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

// credentials writes a credentials file with one profile.
func credentials(t *testing.T, profile string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("["+profile+"]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
