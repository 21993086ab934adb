package awsaccess

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzCredentialsFile(f *testing.F) {
	for _, seed := range []string{
		"[default]\naws_access_key_id = A\naws_secret_access_key = SECRETSECRET\n",
		"[default]\r\nrole_arn=x\r\nsource_profile=default\r\n",
		"\xef\xbb\xbf[default]\n", "[profile default]\ncredential_process = x\n", "[", "]", "[]\n=\n", "[default]\ns3 =\n  a = b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := fileIdentity(t.Context(), path, "default")
		if err != nil {
			if !CodeCredentialsFile.Is(err) {
				t.Errorf("error without its code: %v", err)
			}
			return
		}
		client, err := Trust{}.HTTPClient()
		if err != nil {
			t.Fatal(err)
		}
		// Whatever the file says, building clients asks nobody and does not panic.
		_, _ = id.Config(t.Context(), client, "")
	})
}
