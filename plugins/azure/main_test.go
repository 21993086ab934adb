package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/snapshots/azuredisk"
	"github.com/oadp-plugins/oadp-plugins/test/support/examples"
)

func cloud(t *testing.T) examples.Cloud {
	log := slog.New(slog.DiscardHandler)
	return examples.Cloud{Name: "azure", Store: azblob.New(log), Snapshotter: azuredisk.New(log), Credentials: func(map[string]string) string {
		path := filepath.Join(t.TempDir(), "credentials")
		text := "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=a2V5\nAZURE_STORAGE_ACCOUNT_SAS=sv=1\nAZURE_TENANT_ID=t\nAZURE_CLIENT_ID=c\nAZURE_CLIENT_SECRET=s\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}}
}

func TestExampleLocations(t *testing.T) { cloud(t).CheckLocations(t) }

func TestExampleApplications(t *testing.T) {
	cloud(t).CheckApplications(t, "resourceGroup", "storageAccount")
}
