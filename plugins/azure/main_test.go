package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/azuredisk"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// The example locations are read, and their configuration is accepted as far as
// that can be told without a server.
func TestExampleLocations(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	credentials := filepath.Join(t.TempDir(), "credentials")
	text := "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=a2V5\nAZURE_STORAGE_ACCOUNT_SAS=sv=1\nAZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_CLIENT_SECRET=s\n"
	if err := os.WriteFile(credentials, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for pattern, checked := range map[string]sdk.Checked{"bsl*.yaml": azblob.New(log), "vsl*.yaml": azuredisk.New(log)} {
		for _, name := range examples(t, pattern) {
			l, err := location.ReadFile(name, "")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if l.PluginName() != "velero.io/azure" {
				t.Errorf("%s: provider %s", name, l.PluginName())
			}
			config := l.InitConfig("")
			config[location.CredentialsFileKey] = credentials
			if _, err := checked.Checks(t.Context(), sdk.ChecksInput{Config: config}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func examples(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/azure/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples %s: %v", pattern, err)
	}
	return files
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
	log := slog.New(slog.DiscardHandler)
	snapshotKeys, backupKeys := azuredisk.New(log).ConfigKeys(), azblob.New(log).ConfigKeys()
	for _, name := range examples(t, "dpa*.yaml") {
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
			if l.Velero.Config["resourceGroup"] == "" || l.Velero.Config["storageAccount"] == "" {
				t.Errorf("%s: the operator wants resourceGroup and storageAccount", name)
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
