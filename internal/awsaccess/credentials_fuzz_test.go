package awsaccess

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
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
		id, err := locationFileIdentity(t.Context(), path, "default")
		if err != nil && !errors.Is(err, CodeCredentialsFile) && !errors.Is(err, credpolicy.Refused) {
			t.Errorf("error without its code: %v", err)
		}
		given := Given{From: "secret a/b", Author: credpolicy.LocationOwner, Content: credfile.Sensitive(content)}
		same, givenErr := given.identity(t.Context(), "default")
		if givenErr != nil && (!errors.Is(givenErr, CodeCredentialsFile) && !errors.Is(givenErr, credpolicy.Refused) || strings.Contains(givenErr.Error(), "/proc/")) {
			t.Errorf("error of a given credential: %v", givenErr)
		}
		if err != nil || givenErr != nil {
			return
		}
		if same.Region != id.Region || same.web != id.web || same.role != id.role {
			t.Errorf("given %+v, in a file %+v", same, id)
		}
		transport, err := endpoint.NewTransport(endpoint.Trust{})
		if err != nil {
			t.Fatal(err)
		}
		// Whatever the file says, building clients asks nobody and does not panic.
		_, _ = id.Config(t.Context(), NewClient(transport), "")
		_, _ = same.Config(t.Context(), NewClient(transport), "")
	})
}
