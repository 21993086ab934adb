// Package examples checks the manifests of a cloud in the folder examples: its plugin
// has to accept them.
package examples

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// Part is a store or a snapshotter.
type Part interface {
	sdk.Checked
	sdk.Configured
}

// Cloud is a cloud with the parts of its plugin.
type Cloud struct {
	Name               string // of the folder of examples, and of the provider: aws
	Store, Snapshotter Part
	// Credentials returns the path of a credentials file for the configuration of a
	// location.
	Credentials func(config map[string]string) string
}

// files returns the examples that a pattern matches; there must be some.
func (c Cloud) files(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/" + c.Name + "/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples %s: %v", pattern, err)
	}
	return files
}

// CheckLocations reads the locations in bsl*.yaml and vsl*.yaml. Their configuration
// must be accepted as far as that can be told without a server.
func (c Cloud) CheckLocations(t *testing.T) {
	for pattern, part := range map[string]Part{"bsl*.yaml": c.Store, "vsl*.yaml": c.Snapshotter} {
		for _, name := range c.files(t, pattern) {
			l, err := location.ReadFile(name, "")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if l.PluginName() != "velero.io/"+c.Name {
				t.Errorf("%s: provider %s", name, l.PluginName())
			}
			config := l.InitConfig("")
			config[location.CredentialsFileKey] = c.Credentials(config)
			if _, err := part.Checks(t.Context(), sdk.ChecksInput{Config: config}); err != nil {
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

// CheckApplications reads the applications in dpa*.yaml. Their locations must be
// accepted, with the variables that they set, and have no key that the operator
// refuses, nor lack one of those in required, which the operator wants in backup
// locations.
func (c Cloud) CheckApplications(t *testing.T, required ...string) {
	snapshotKeys, backupKeys := c.Snapshotter.ConfigKeys(), c.Store.ConfigKeys()
	for _, name := range c.files(t, "dpa*.yaml") {
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
			accept(t, name, snapshotKeys, l.Velero.Config)
			for _, key := range snapshotKeys {
				if _, set := l.Velero.Config[key.Name]; set && key.Env != "" {
					t.Errorf("%s: the operator refuses the key %s", name, key.Name)
				}
			}
		}
		for _, l := range dpa.Spec.BackupLocations {
			accept(t, name, backupKeys, l.Velero.Config)
			for _, key := range required {
				if l.Velero.Config[key] == "" {
					t.Errorf("%s: the operator wants %s", name, key)
				}
			}
		}
	}
}

func accept(t *testing.T, name string, keys config.Keys, config map[string]string) {
	t.Helper()
	if _, err := keys.Parse(config); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}
