package main

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/ebs"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
	"github.com/oadp-plugins/oadp-plugins/test/support/examples"
)

func cloud(t *testing.T) examples.Cloud {
	awsfake.ClearEnvironment(t)
	log := slog.New(slog.DiscardHandler)
	return examples.Cloud{Name: "aws", Store: s3.New(log), Snapshotter: ebs.New(log), Credentials: func(config map[string]string) string {
		path := filepath.Join(t.TempDir(), "credentials")
		profile := cmp.Or(config["profile"], "default")
		if err := os.WriteFile(path, []byte("["+profile+"]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}}
}

func TestExampleLocations(t *testing.T) { cloud(t).CheckLocations(t) }

func TestExampleApplications(t *testing.T) { cloud(t).CheckApplications(t) }
