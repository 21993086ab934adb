package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The built plugin runs no command and sends no file that the secret of a location
// names, whatever kind the location is of.
func TestHostileCredentialsByHand(t *testing.T) {
	plugin := build(t, "velero-plugin-for-aws", "./plugins/aws")
	locations := map[string]string{
		"backup":    write(t, "bsl.yaml", "kind: BackupStorageLocation\napiVersion: velero.io/v1\nmetadata: {name: default}\nspec:\n  provider: aws\n  objectStorage: {bucket: b}\n  config: {region: us-east-1, s3Url: 'http://127.0.0.1:1'}\n"),
		"snapshots": write(t, "vsl.yaml", "kind: VolumeSnapshotLocation\napiVersion: velero.io/v1\nmetadata: {name: default}\nspec:\n  provider: aws\n  config: {region: us-east-1}\n"),
	}
	ran := filepath.Join(t.TempDir(), "ran")
	for name, file := range map[string]string{
		"command": "credential_process = touch " + ran + "\n",
		"file":    "role_arn = r\nweb_identity_token_file = /etc/passwd\nservices = x\n[services x]\nsts =\n  endpoint_url = http://127.0.0.1:1\n",
	} {
		credentials := write(t, "credentials", "[default]\n"+file)
		for kind, location := range locations {
			command := exec.Command(plugin, "check", "--location", location, "--credentials-file", credentials)
			command.Env = environment(t)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "CREDENTIALS_SOURCE_REFUSED") {
				t.Errorf("%s, %s: %v, %s", name, kind, err, out)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Fatalf("%s: the command ran", kind)
			}
		}
	}
}
