package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// asPlugin makes the test binary the plugin itself.
const asPlugin = "TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asPlugin) != "":
		main()
	case os.Getenv(asUploader) != "":
		uploadForEver(os.Getenv(asUploader))
	}
	os.Exit(m.Run())
}

// TestConformance runs all checks that a plugin has to pass.
func TestConformance(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dirs := newDirectories(t)
	files := httptest.NewServer(signed(dirs.keyFile, http.FileServer(http.Dir(dirs.root))))
	t.Cleanup(files.Close)
	plugintest.Run(t, plugintest.Plugin{
		Path: self,
		// The limits are shorter than they are by default, for the sake of the test.
		Env: append(os.Environ(), asPlugin+"=1", "OADP_PLUGIN_CLIENT_TIMEOUT=3s",
			"OADP_PLUGIN_DISCONNECT_GRACE=1s", "OADP_PLUGIN_STALL_TIMEOUT=1s"),
		StallLimit: time.Second,
		Store: &plugintest.StoreConfig{
			Config:      map[string]string{"root": dirs.root, "publicUrl": files.URL, "credentialsFile": dirs.keyFile},
			Alternate:   map[string]string{"root": dirs.root},
			Bucket:      "backups",
			LargeObject: 512 << 20,
		},
		Items: map[string][]json.RawMessage{"example.com/stamp": {json.RawMessage(claim)}},
	})
}

const claim = `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"shop","name":"data","annotations":{"note":"kept"}}}`

// directories are what an administrator prepares.
type directories struct{ root, keyFile string }

func newDirectories(t *testing.T) directories {
	t.Helper()
	dirs := directories{root: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "key")}
	if err := os.Mkdir(filepath.Join(dirs.root, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dirs.keyFile, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dirs
}
