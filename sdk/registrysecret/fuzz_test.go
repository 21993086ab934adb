package registrysecret_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// secretMark stands for secret data. No text may have it.
const secretMark = "\u2603secret\u2603"

// FuzzLocation searches for the credential of any object.
func FuzzLocation(f *testing.F) {
	for _, w := range []*world{
		{provider: "aws"},
		{provider: "velero.io/azure", labels: managed, config: map[string]any{"credentialsFile": "a/b", "profile": ""}},
		{provider: "gcp", labels: nonAdmin, credential: "mine/k"},
	} {
		seed, err := json.Marshal(w.object())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte(`{"apiVersion":1,"kind":"BackupStorageLocation","metadata":[],"spec":{"provider":{},"config":[1],"credential":"x","objectStorage":{"bucket":"/","caCert":"*"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var object map[string]any
		if json.Unmarshal(data, &object) != nil {
			return
		}
		w := &world{provider: "aws", secrets: map[string]registrysecret.Secret{"a": {}, "mine": {Data: map[string][]byte{"k": nil}}}}
		finder := w.finder()
		finder.Location = func(context.Context, string, string) (map[string]any, error) { return object, nil }
		found, err := finder.Find(context.Background(), request)
		if (found == nil) == (err == nil) {
			t.Fatalf("%+v, %v", found, err)
		}
	})
}

// FuzzSecrets searches secrets and files with any content.
func FuzzSecrets(f *testing.F) {
	f.Add(uint8(0), "access_key", []byte("A"), "secret_key", []byte("B"), []byte(ini), "profile", "default")
	f.Add(uint8(1), "storage_account_key", []byte(""), "tenant_id_key", []byte("t"), []byte(azureEnv), "storageAccountKeyEnvVar", "X")
	f.Add(uint8(2), "cloud", []byte("{"), "k", []byte(nil), []byte(gcpJSON), "credentialsFile", "mine/cloud")
	f.Add(uint8(3), "access_key", []byte("="), "cloud", []byte("[default]\n="), []byte("\x00"), "credentialsFile", "/")
	f.Fuzz(func(t *testing.T, choice uint8, key1 string, value1 []byte, key2 string, value2, file []byte, configKey, configValue string) {
		provider := []string{"aws", "azure", "gcp"}[choice%3]
		secret := registrysecret.Secret{Data: map[string][]byte{key1: value1, key2: value2, "cloud": file}}
		if choice&4 != 0 {
			secret.OwnerKinds = []string{"DataProtectionApplication"}
		}
		w := &world{
			provider: provider, credential: "mine/" + key1, config: map[string]any{configKey: configValue},
			secrets: map[string]registrysecret.Secret{"oadp-b-" + provider + "-registry-secret": secret, "mine": secret},
			files: map[string]string{
				location.CredentialsFile(ns, "mine", "k"): string(file),
				"/credentials/cloud":                      string(value1), "/credentials-azure/cloud": string(value2), "/credentials-gcp/cloud": string(file),
			},
			ambient: choice&8 != 0,
		}
		found, err := w.find()
		if (found == nil) == (err == nil) {
			t.Fatalf("%+v, %v", found, err)
		}
	})
}

// FuzzNoSecretInTexts puts a marked secret at any place of any text around it.
func FuzzNoSecretInTexts(f *testing.F) {
	f.Add(uint8(0), "[default]\naws_access_key_id=A\naws_secret_access_key=", "\n")
	f.Add(uint8(0), "[default]\naws_secret_access_key = ", "")
	f.Add(uint8(1), "AZURE_STORAGE_ACCOUNT_ACCESS_KEY='", "")
	f.Add(uint8(1), "X=", "\nY=$X\nZ")
	f.Add(uint8(2), `{"type":"service_account","private_key":"`, `"}`)
	f.Add(uint8(2), `{"type": `, "")
	f.Fuzz(func(t *testing.T, choice uint8, before, after string) {
		if strings.Contains(before, "[") && choice%3 == 0 && strings.LastIndex(before, "[") > strings.LastIndex(before, "\n") {
			return // the name of a profile is no secret
		}
		provider := []string{"aws", "azure", "gcp"}[choice%3]
		content := []byte(before + secretMark + after)
		secret := registrysecret.Secret{Data: map[string][]byte{"k": content, "access_key": content, "storage_account_key": content, "client_secret_key": content}}
		w := &world{
			provider: provider, credential: "mine/k",
			secrets: map[string]registrysecret.Secret{"oadp-b-" + provider + "-registry-secret": secret, "mine": secret, "cloud-credentials": secret},
			files:   map[string]string{"/credentials/cloud": string(content), "/credentials-azure/cloud": string(content), "/credentials-gcp/cloud": string(content)},
		}
		_, err := w.find()
		if text := fmt.Sprint(err) + w.log.String(); strings.Contains(text, secretMark) {
			t.Fatalf("a secret in: %s", text)
		}
	})
}
