package azuredisk

import (
	"maps"
	"strings"
	"testing"
	"time"

	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
)

func TestSettings(t *testing.T) {
	azurefake.ClearEnvironment(t)
	s, err := parseSettings(nil)
	if err != nil || s.apiTimeout != 2*time.Minute || s.incremental != nil || s.tags != nil || s.snapshotReadyTimeout != 30*time.Minute {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	s, err = parseSettings(map[string]string{"apiTimeout": "90s", "incremental": "true", "tags": "k1=v1, k2=v2", "activeDirectoryAuthorityURI": "https://login.microsoftonline.us"})
	if err != nil || s.apiTimeout != 90*time.Second || s.incremental == nil || !*s.incremental || !maps.Equal(s.tags, map[string]string{"k1": "v1", "k2": "v2"}) {
		t.Errorf("%+v, %v", s, err)
	}
	for key, values := range map[string][]string{
		"tags": {"k1", "=v", "k=v=w", "microsoft-x=y"}, "incremental": {"invalid"}, "apiTimeout": {"1", "-1s"}, "zone": {"0", "eastus-1"},
		"snapshotSKU": {"UltraSSD_LRS"}, "diskSKU": {"Gold"}, "instantAccessMinutes": {"30", "301"}, "region": {"eastus"}, "bucket": {"b"}, "prefix": {"p"},
	} {
		for _, value := range values {
			if _, err := parseSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s=%s: %v", key, value, err)
			}
		}
	}
}

// OADP lets only some keys into a location, so that the others have a variable.
func TestVariables(t *testing.T) {
	azurefake.ClearEnvironment(t)
	t.Setenv("OADP_AZURE_VSL_DISK_SKU", "Premium_ZRS")
	t.Setenv("OADP_AZURE_VSL_TAGS", "owner=x")
	if s, err := parseSettings(nil); err != nil || s.diskSKU != "Premium_ZRS" || s.tags["owner"] != "x" {
		t.Errorf("%+v, %v", s, err)
	}
	allowed := map[string]bool{"credentialsFile": true, "resourceGroup": true, "subscriptionId": true, "apiTimeout": true, "incremental": true} // without a variable
	for _, key := range configKeys() {
		if (key.Env == "") != allowed[key.Name] {
			t.Errorf("%s has the variable %q", key.Name, key.Env)
		}
	}
}
