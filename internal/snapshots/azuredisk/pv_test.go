package azuredisk

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func isCode(err, code error) bool { return errors.Is(err, code) }

func TestVolumeID(t *testing.T) {
	const path = "/subscriptions/subscription-id/resourceGroups/resource-group-name/providers/Microsoft.Compute/disks/bar"
	for name, c := range map[string]struct {
		spec, want string
		fails      bool
	}{
		"empty":             {`{}`, "", false},
		"empty azureDisk":   {`{"azureDisk":{}}`, "", true},
		"azureDisk":         {`{"azureDisk":{"diskName":"foo"}}`, "foo", false},
		"other driver":      {`{"csi":{"driver":"unknown.csi.azure.com"},"azureDisk":{"diskName":"foo"}}`, "foo", false},
		"other driver only": {`{"csi":{"driver":"unknown.csi.azure.com","volumeHandle":"` + path + `"}}`, "", false},
		"leading space":     {`{"csi":{"driver":"disk.csi.azure.com","volumeHandle":" ` + path + `"}}`, "bar", false},
		"other case":        {`{"csi":{"driver":"disk.csi.azure.com","volumeHandle":"/subscriptions/s/resourcegroups/g/providers/MICROSOFT.COMPUTE/disks/bar"}}`, "bar", false},
		"no disk":           {`{"csi":{"driver":"disk.csi.azure.com","volumeHandle":"foo"}}`, "", false},
		"managed":           {`{"azureDisk":{"kind":"Managed","diskName":"foo","diskURI":"` + path + `"}}`, "foo", false},
		"unmanaged":         {`{"azureDisk":{"kind":"Dedicated","diskName":"foo"}}`, "", false},
		"blob":              {`{"azureDisk":{"diskName":"foo","diskURI":"https://account.blob.core.windows.net/vhds/foo.vhd"}}`, "", false},
		"no text":           {`{"csi":{"driver":"disk.csi.azure.com","volumeHandle":7}}`, "", false},
	} {
		got, err := (&volumes{}).idOf(persistentVolume(t, `"spec":`+c.spec), slog.New(slog.DiscardHandler))
		if got != c.want || c.fails != isCode(err, CodePersistentVolume) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestSetVolumeID(t *testing.T) {
	s := newScene(t, "disksSubscriptionId", "sub", "disksResourceGroup", "rg")
	const want = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/disks/updated"
	for before, after := range map[string]string{
		`{"azureDisk":{"diskName":"a"}}`:                                                     `{"azureDisk":{"diskName":"updated","diskURI":"` + want + `"}}`,
		`{"azureDisk":{"diskName":"a","diskURI":"x","kind":"Managed"}}`:                      `{"azureDisk":{"diskName":"updated","diskURI":"` + want + `","kind":"Managed"}}`,
		`{"csi":{"driver":"disk.csi.azure.com","volumeHandle":"x","unknown":{"field":[1]}}}`: `{"csi":{"driver":"disk.csi.azure.com","unknown":{"field":[1]},"volumeHandle":"` + want + `"}}`,
	} {
		pv := persistentVolume(t, `"spec":`+before)
		if _, err := s.SetVolumeID(t.Context(), sdk.SetVolumeIDInput{PersistentVolume: pv, VolumeID: "updated"}); err != nil {
			t.Errorf("%s: %v", before, err)
		}
		if got, err := json.Marshal(pv.Object["spec"]); err != nil || string(got) != after {
			t.Errorf("%s: %s, %v", before, got, err)
		}
	}
	for _, spec := range []string{`{}`, `{"csi":{"driver":"unknown"}}`} {
		_, err := s.SetVolumeID(t.Context(), sdk.SetVolumeIDInput{PersistentVolume: persistentVolume(t, `"spec":`+spec), VolumeID: "updated"})
		fails(t, spec, err, CodePersistentVolume)
	}
}
