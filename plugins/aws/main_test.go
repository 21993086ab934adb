package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// The example locations are read, and their configuration is accepted as far as
// that can be told without a server.
func TestExampleLocations(t *testing.T) {
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../examples/aws/bsl*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		l, err := location.ReadFile(file, "")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if l.PluginName() != "velero.io/aws" {
			t.Errorf("%s: provider %s", file, l.PluginName())
		}
		config := l.InitConfig("")
		config[location.CredentialsFileKey] = credentials
		if _, err := s3.New(slog.New(slog.DiscardHandler)).Checks(config); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
