package azblob

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

func settingsOf(t *testing.T, more map[string]string) (settings, error) {
	t.Helper()
	m := map[string]string{"bucket": "b", "storageAccount": "account"}
	maps.Copy(m, more)
	return parseSettings(m)
}

// A size that cannot be used is replaced, with a warning, as by the plugin
// replaced.
func TestBlockSize(t *testing.T) {
	for text, want := range map[string]struct {
		size, buffers int
		warns         bool
	}{
		"":           {defaultBlockSize, 5, false},
		"invalid":    {defaultBlockSize, 5, true},
		"0":          {defaultBlockSize, 5, true},
		"-1":         {defaultBlockSize, 5, true},
		"1":          {minBlockSize, 5, true},
		"1048570":    {1048570, 5, false},
		"1048576000": {104857600, 2, true},
		"104857600":  {104857600, 2, false},
		"10485760":   {10485760, 3, false}, // as many as 32 MiB hold
	} {
		s, err := settingsOf(t, map[string]string{"blockSizeInBytes": text})
		if err != nil || s.blockSize != want.size || s.buffers != want.buffers || len(s.warnings) > 0 != want.warns {
			t.Errorf("%q: %d bytes, %d buffers, %q, %v", text, s.blockSize, s.buffers, s.warnings, err)
		}
	}
}

// Charts render keys without a value. They count as absent.
func TestEmptyValues(t *testing.T) {
	m := map[string]string{}
	for _, key := range configKeys() {
		if key.Name != "storageAccount" && key.Name != "bucket" {
			m[key.Name] = ""
		}
	}
	s, err := settingsOf(t, m)
	if err != nil || s.useAAD || s.keyEntry != "" || s.endpoint != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestBadConfiguration(t *testing.T) {
	const key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	for name, c := range map[string]struct {
		more map[string]string
		says []string
	}{
		"no account":         {map[string]string{"storageAccount": ""}, []string{"storageAccount is required in BSL"}},
		"unknown key":        {map[string]string{"storageAcount": "x"}, []string{"config has invalid keys [storageAcount]; valid keys are [", "storageAccount"}},
		"region":             {map[string]string{"region": "eastus"}, []string{"invalid keys [region]", "from the storage account and the resource group"}},
		"boolean":            {map[string]string{"useAAD": "invalid"}, []string{"useAAD", "expected bool"}},
		"key for its name":   {map[string]string{"storageAccountKeyEnvVar": key}, []string{"storageAccountKeyEnvVar", "looks like a key, expected the name of an entry"}},
		"SAS for its name":   {map[string]string{"storageAccountSASTokenEnvVar": "sv=2024&sig=" + key}, []string{"storageAccountSASTokenEnvVar", "looks like a key"}},
		"SAS and identity":   {map[string]string{"storageAccountSASTokenEnvVar": "S", "useAAD": "true"}, []string{"storageAccountSASTokenEnvVar", "useAAD", "exclude each other"}},
		"address":            {map[string]string{"storageAccountURI": "ftp://x"}, []string{"storageAccountURI", "https://"}},
		"address with a SAS": {map[string]string{"storageAccountURI": "https://x?sv=1&sig=hidden"}, []string{"storageAccountURI", "without a query"}},
		"concurrency":        {map[string]string{"uploadConcurrency": "17"}, []string{"uploadConcurrency", "from 1 to 16"}},
	} {
		_, err := settingsOf(t, c.more)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, words := range c.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %q is not in: %v", name, words, err)
			}
		}
		if strings.Contains(err.Error(), key) {
			t.Errorf("%s: the key is in: %v", name, err)
		}
	}
	_, err := settingsOf(t, map[string]string{"what": "x"})
	if !errors.Is(err, config.UnknownKey) {
		t.Errorf("error: %v", err)
	}
}

func TestEndpoint(t *testing.T) {
	for text, want := range map[string]string{
		"https://account.blob.example.com":  "https://account.blob.example.com",
		"https://account.blob.example.com/": "https://account.blob.example.com",
		"account.blob.core.windows.net":     "https://account.blob.core.windows.net",
		"http://127.0.0.1:10000/account":    "http://127.0.0.1:10000/account",
	} {
		if s, err := settingsOf(t, map[string]string{"storageAccountURI": text}); err != nil || s.endpoint != want {
			t.Errorf("%s: %q, %v", text, s.endpoint, err)
		}
	}
}
