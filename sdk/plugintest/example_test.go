package plugintest_test

import (
	"encoding/json"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
)

// A test of a plugin's module calls Run with the built binary. Each requirement is
// a subtest: go test -run TestConformance/store.round-trip checks one of them.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T) {
		plugintest.Run(t, plugintest.Plugin{
			Path: "bin/velero-plugin-for-example",
			Store: &plugintest.StoreConfig{
				Config: map[string]string{"root": t.TempDir()},
				Bucket: "backups", // exists below root
			},
			Items: map[string][]json.RawMessage{
				"example.io/stamp": {json.RawMessage(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"shop","name":"data"}}`)},
			},
		})
	}
}
