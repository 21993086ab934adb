package location_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

const backup = `apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata:
  name: default
  namespace: openshift-adp
  labels: {app.kubernetes.io/component: bsl}
spec:
  provider: aws
  credential: {name: cloud-credentials, key: cloud}
  objectStorage:
    bucket: /backups/
    prefix: /velero/a/
    caCert: UEVN
  config:
    region: us-east-1
    s3ForcePathStyle: "true"
`

const snapshot = `apiVersion: velero.io/v1
kind: VolumeSnapshotLocation
metadata: {name: ebs, namespace: openshift-adp}
spec:
  provider: example.io/disk
  config: {region: us-east-1}
`

func parse(t *testing.T, text, name string) *location.Location {
	t.Helper()
	l, err := location.Parse([]byte(text), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBackupStorageLocation(t *testing.T) {
	got := parse(t, backup, "")
	want := &location.Location{
		Kind: location.BackupStorage, Namespace: "openshift-adp", Name: "default",
		Labels:   map[string]string{location.ComponentLabel: location.ComponentBSL},
		Provider: "aws", Credential: &location.SecretKey{Name: "cloud-credentials", Key: "cloud"},
		Config: map[string]string{"region": "us-east-1", "s3ForcePathStyle": "true"},
		Bucket: "backups", Prefix: "velero/a", CACert: "PEM",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("location:\n %+v\nwant:\n %+v", got, want)
	}
}

func TestInitConfig(t *testing.T) {
	credentials := filepath.Join(os.TempDir(), "credentials", "openshift-adp", "cloud-credentials-cloud")
	ref := strings.Replace(backup, "caCert: UEVN", "caCertRef: {name: ca, key: bundle}", 1)
	for _, c := range []struct {
		name, text, bundle string
		want               map[string]string
	}{
		{"backup storage location", backup, "", map[string]string{
			"region": "us-east-1", "s3ForcePathStyle": "true", "bucket": "backups", "prefix": "velero/a",
			"caCert": "PEM", "credentialsFile": credentials,
		}},
		{"CA bundle from a secret", ref, "BUNDLE", map[string]string{
			"region": "us-east-1", "s3ForcePathStyle": "true", "bucket": "backups", "prefix": "velero/a",
			"caCert": "BUNDLE", "credentialsFile": credentials,
		}},
		{"only what every location has", `{"apiVersion":"velero.io/v1","kind":"BackupStorageLocation","spec":{"provider":"aws","objectStorage":{"bucket":"b"}}}`, "",
			map[string]string{"bucket": "b", "prefix": ""}},
		{"volume snapshot location", snapshot, "", map[string]string{"region": "us-east-1"}},
		{"volume snapshot location with a credential", snapshot + "  credential: {name: cloud-credentials, key: cloud}\n", "",
			map[string]string{"region": "us-east-1", "credentialsFile": credentials}},
	} {
		l := parse(t, c.text, "")
		got := l.InitConfig(c.bundle)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		keys := location.BackupKeys()
		if l.Kind == location.VolumeSnapshot {
			keys = location.SnapshotKeys()
		}
		keys = append(keys, config.String("region", ""), config.Bool("s3ForcePathStyle", ""))
		if _, err := keys.Parse(got); err != nil {
			t.Errorf("%s: Velero's keys are not all declared: %v", c.name, err)
		}
		got["region"] = "changed"
		if l.Config["region"] == "changed" {
			t.Errorf("%s: the map is the location's own", c.name)
		}
	}
}

func TestProviderNames(t *testing.T) {
	for provider, want := range map[string][2]string{
		"aws":             {"velero.io/aws", "aws"},
		"velero.io/aws":   {"velero.io/aws", "aws"},
		"example.io/disk": {"example.io/disk", "example.io/disk"},
		"":                {"", ""},
	} {
		l := location.Location{Provider: provider}
		if got := [2]string{l.PluginName(), l.ProviderKind()}; got != want {
			t.Errorf("%q: %q, want %q", provider, got, want)
		}
	}
}

func TestFilesWithSeveralObjects(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: default}\n"
	asJSON, err := json.Marshal(map[string]any{"kind": "List", "items": []any{
		map[string]any{"kind": "Pod"},
		map[string]any{"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation", "metadata": map[string]any{"name": "default"},
			"spec": map[string]any{"provider": "aws", "objectStorage": map[string]any{"bucket": "b"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, text, name, found string }{
		{"the only location", pod + "---\n" + backup + "---\n# nothing\n---\n" + pod, "", "default"},
		{"CRLF", strings.ReplaceAll(pod+"---\n"+backup, "\n", "\r\n"), "", "default"},
		{"by name", backup + "---\n" + snapshot, "ebs", "ebs"},
		{"a list in JSON", string(asJSON), "", "default"},
	} {
		l, err := location.Parse([]byte(c.text), c.name)
		if err != nil || l.Name != c.found {
			t.Errorf("%s: %+v, %v", c.what, l, err)
		}
	}
}

func TestFileErrors(t *testing.T) {
	for _, c := range []struct {
		what, text, name string
		code             fault.Code
		parts            []string
	}{
		{"two locations", backup + "---\n" + snapshot, "", location.NotInFile,
			[]string{"expected one location", "BackupStorageLocation default, VolumeSnapshotLocation ebs"}},
		{"same name twice", backup + "---\n" + backup, "default", location.NotInFile, []string{`exactly one location named "default"`}},
		{"other name", backup, "nope", location.NotInFile, []string{`"nope"`, "default"}},
		{"other kind", "kind: DataProtectionApplication\n", "", location.NotInFile, []string{"DataProtectionApplication"}},
		{"empty", "", "", location.NotInFile, []string{"empty"}},
		{"no object", "just text\n", "", location.UnreadableFile, []string{"a string"}},
		{"no YAML", "a: b: c\n", "", location.UnreadableFile, []string{"mapping values"}},
		{"key twice", strings.Replace(backup, "  provider: aws\n", "  provider: aws\n  provider: gcp\n", 1), "", location.UnreadableFile, []string{"provider"}},
		{"other API group", strings.Replace(backup, "velero.io/v1", "example.io/v1", 1), "", location.InvalidObject, []string{"apiVersion", "example.io/v1"}},
		{"no provider", strings.Replace(backup, "provider: aws", "", 1), "", location.InvalidObject, []string{"BackupStorageLocation default", "spec.provider is missing"}},
		{"no bucket", strings.Replace(backup, "bucket: /backups/", "", 1), "", location.InvalidObject, []string{"spec.objectStorage.bucket is missing"}},
		{"slashes for a bucket", strings.Replace(backup, "/backups/", "//", 1), "", location.InvalidObject, []string{"spec.objectStorage.bucket"}},
		{"path in the bucket", strings.Replace(backup, "/backups/", "a/b", 1), "", location.InvalidObject, []string{`"a/b"`, "spec.objectStorage.prefix"}},
		{"config without quotes", strings.Replace(backup, `"true"`, "true", 1), "", location.InvalidObject, []string{"spec.config.s3ForcePathStyle is a boolean", "quotes"}},
		{"config is a list", strings.Replace(snapshot, "{region: us-east-1}", "[region]", 1), "", location.InvalidObject, []string{"spec.config is a list, expected a map"}},
		{"spec is text", "apiVersion: velero.io/v1\nkind: VolumeSnapshotLocation\nspec: aws\n", "", location.InvalidObject, []string{"spec is a string, expected a map"}},
		{"credential without a key", strings.Replace(backup, ", key: cloud", "", 1), "", location.InvalidObject, []string{"spec.credential.key is missing"}},
		{"PEM in place of base64", strings.Replace(backup, "UEVN", `"-----BEGIN CERTIFICATE-----"`, 1), "", location.InvalidObject, []string{"caCert is not base64"}},
		{"two CA bundles", strings.Replace(backup, "caCert: UEVN", "caCert: UEVN\n    caCertRef: {name: a, key: b}", 1), "", location.InvalidObject, []string{"caCert and caCertRef"}},
		{"two mistakes", strings.NewReplacer("provider: aws", "", "bucket: /backups/", "").Replace(backup), "", location.InvalidObject,
			[]string{"spec.provider", "spec.objectStorage.bucket"}},
	} {
		_, err := location.Parse([]byte(c.text), c.name)
		if !errors.Is(err, c.code) {
			t.Errorf("%s: error %v has not code %s", c.what, err, c.code.ID)
			continue
		}
		for _, part := range append(c.parts, "; fix: ") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is missing in: %v", c.what, part, err)
			}
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bsl.yaml")
	if _, err := location.ReadFile(path, ""); !errors.Is(err, location.UnreadableFile) || !strings.Contains(err.Error(), path) {
		t.Errorf("absent file: %v", err)
	}
	if err := os.WriteFile(path, []byte("kind: Pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := location.ReadFile(path, ""); !errors.Is(err, location.NotInFile) || !strings.Contains(err.Error(), path) {
		t.Errorf("no location: %v", err)
	}
	if err := os.WriteFile(path, []byte(backup), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := location.ReadFile(path, ""); err != nil || l.Name != "default" {
		t.Errorf("%+v, %v", l, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(backup), "")
	f.Add([]byte(snapshot+"---\n"+backup), "ebs")
	f.Add([]byte("kind: List\nitems: [1, null, {kind: BackupStorageLocation}]"), "")
	f.Add([]byte("kind: BackupStorageLocation\nmetadata: 1\nspec: {provider: [], config: {a: 1}, credential: x, objectStorage: {caCert: '!'}}"), "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		l, err := location.Parse(data, name)
		if (l == nil) == (err == nil) {
			t.Fatalf("location %+v with error %v", l, err)
		}
		if l != nil {
			_ = l.InitConfig("")
			if l.Provider == "" || l.Kind == location.BackupStorage && (l.Bucket == "" || strings.Contains(l.Bucket, "/")) {
				t.Fatalf("incomplete: %+v", l)
			}
		}
	})
}
