package awsaccess_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	awsfake "github.com/oadp-plugins/oadp-plugins/test/fakes/aws"
)

// nonAdmin is the name of a secret of a user, as the self-service controller makes
// it.
const nonAdmin = "shop-minio-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a"

// The credential of a location runs nothing, reads no file and speaks to no server
// that its author has chosen, however the file is written.
func TestHostileCredentials(t *testing.T) {
	const allowedRole = "role_arn = arn:aws:iam::123456789012:role/r\nweb_identity_token_file = ALLOWED\n"
	for name, c := range map[string]struct {
		file   string
		author credpolicy.Author
		code   fault.Code
	}{
		"command":                        {"[default]\ncredential_process = touch RAN\n", credpolicy.LocationOwner, credpolicy.Refused},
		"command in upper case":          {"[default]\nCREDENTIAL_PROCESS = touch RAN\n", credpolicy.LocationOwner, credpolicy.Refused},
		"command in a long section":      {"[ profile   default ]\n credential_process=touch RAN", credpolicy.LocationOwner, credpolicy.Refused},
		"command in the second section":  {"[default]\nregion = r\n[default]\ncredential_process = touch RAN\n", credpolicy.LocationOwner, credpolicy.Refused},
		"command behind a role":          {"[default]\nrole_arn = r\nsource_profile = x\n[x]\ncredential_process = touch RAN\n", credpolicy.LocationOwner, credpolicy.Refused},
		"command behind two roles":       {"[default]\nrole_arn = r\nsource_profile = x\n[x]\nrole_arn = r\nsource_profile = y\n[profile y]\ncredential_process = touch RAN\n", credpolicy.LocationOwner, credpolicy.Refused},
		"command after carriage returns": {"[default]\r\rcredential_process = touch RAN\r", credpolicy.LocationOwner, awsaccess.CodeCredentialsFile},
		"file to a token service":        {"[default]\nrole_arn = r\nweb_identity_token_file = SECRET\nservices = x\n[services x]\nsts =\n  endpoint_url = SERVER\n", credpolicy.LocationOwner, credpolicy.Refused},
		"file to the token service":      {"[default]\nrole_arn = r\nweb_identity_token_file = SECRET\n", credpolicy.LocationOwner, credpolicy.Refused},
		"token to another server":        {"[default]\n" + allowedRole + "endpoint_url = SERVER\n", credpolicy.LocationOwner, credpolicy.Refused},
		"token to another service":       {"[default]\n" + allowedRole + "services = x\n[services x]\nsts =\n  endpoint_url = SERVER\n", credpolicy.LocationOwner, credpolicy.Refused},
		"token behind a role":            {"[default]\nrole_arn = r\nsource_profile = x\n[x]\n" + allowedRole + "endpoint_url = SERVER\n", credpolicy.LocationOwner, credpolicy.Refused},
		"token to another region":        {"[default]\n" + allowedRole + "region = HOST/x\n", credpolicy.LocationOwner, awsaccess.CodeRegion},
		"token to a region with a port":  {"[default]\n" + allowedRole + "region = HOST#\n", credpolicy.LocationOwner, awsaccess.CodeRegion},
		"token for a user":               {"[default]\n" + allowedRole, credpolicy.User, credpolicy.Refused},
		"machine's role":                 {"[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n", credpolicy.LocationOwner, credpolicy.Refused},
		"metadata elsewhere":             {"[default]\nec2_metadata_service_endpoint = SERVER\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n", credpolicy.LocationOwner, credpolicy.Refused},
		"keys of the environment":        {"[default]\nrole_arn = r\ncredential_source = Environment\n", credpolicy.LocationOwner, credpolicy.Refused},
		"authorities":                    {"[default]\naws_access_key_id = a\naws_secret_access_key = b\nca_bundle = SECRET\n", credpolicy.LocationOwner, credpolicy.Refused},
		"single sign-on":                 {"[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = SERVER\n", credpolicy.LocationOwner, credpolicy.Refused},
		"login":                          {"[default]\nlogin_session = arn:aws:iam::123456789012:user/x\n", credpolicy.LocationOwner, credpolicy.Refused},
		"a role alone":                   {"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\n", credpolicy.LocationOwner, awsaccess.CodeCredentialsFile},
		"a role behind a role alone":     {"[default]\nrole_arn = r\nsource_profile = x\n[x]\nregion = r\n", credpolicy.LocationOwner, awsaccess.CodeCredentialsFile},
		"nothing":                        {"[default]\nregion = us-east-1\n", credpolicy.LocationOwner, awsaccess.CodeCredentialsFile},
	} {
		t.Run(name, func(t *testing.T) {
			awsfake.ClearEnvironment(t)
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				body, _ := io.ReadAll(r.Body)
				t.Errorf("%s %s: %s", r.Method, r.URL, body)
			}))
			defer server.Close()
			ran, secret, allowed := filepath.Join(dir, "ran"), filepath.Join(dir, "secret"), filepath.Join(dir, "allowed")
			for _, path := range []string{secret, allowed} {
				if err := os.WriteFile(path, []byte("HIDE"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv(credpolicy.TokenFilesVariable, allowed)
			// What a fall through to the identity of the pod or machine would meet.
			t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
			t.Setenv("HTTPS_PROXY", server.URL) // to which CONNECT requests for other hosts go
			text := strings.NewReplacer("RAN", ran, "SECRET", secret, "ALLOWED", allowed, "SERVER", server.URL, "HOST", strings.TrimPrefix(server.URL, "http://")).Replace(c.file)

			name := map[credpolicy.Author]string{credpolicy.LocationOwner: "mine-cloud", credpolicy.User: nonAdmin + "-cloud"}[c.author]
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for form, access := range map[string]awsaccess.Access{
				"file":   {CredentialsFile: path},
				"secret": {Given: &awsaccess.Given{From: "secret a/b", Author: c.author, Content: credfile.Sensitive(text)}},
			} {
				transport, err := endpoint.NewTransport(endpoint.Trust{})
				if err != nil {
					t.Fatal(err)
				}
				id, err := access.Identity(t.Context())
				if err == nil {
					cfg, configErr := id.Config(t.Context(), awsaccess.NewClient(transport), "")
					if err = configErr; err == nil {
						_, err = id.Retrieve(t.Context(), cfg)
					}
				}
				if !errors.Is(err, c.code) {
					t.Errorf("%s: %v", form, err)
				}
				if err != nil && strings.Contains(err.Error(), "HIDE") {
					t.Errorf("%s: the error tells a secret: %v", form, err)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("the command ran")
			}
			if requests.Load() > 0 {
				t.Errorf("%d requests", requests.Load())
			}
		})
	}
}

// An administrator's files are not restricted, and a variable allows a setting for
// the credentials of locations.
func TestAllowedSources(t *testing.T) {
	awsfake.ClearEnvironment(t)
	path := filepath.Join(t.TempDir(), "cloud")
	if err := os.WriteFile(path, []byte("[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	retrieve := func(access awsaccess.Access) error {
		t.Helper()
		transport, err := endpoint.NewTransport(endpoint.Trust{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := access.Identity(t.Context())
		if err != nil {
			return err
		}
		cfg, err := id.Config(t.Context(), awsaccess.NewClient(transport), "")
		if err != nil {
			return err
		}
		_, err = id.Retrieve(t.Context(), cfg)
		return err
	}
	if err := retrieve(awsaccess.Access{CredentialsFile: path}); !errors.Is(err, credpolicy.Refused) || !strings.Contains(err.Error(), path) {
		t.Errorf("location: %v", err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
	if err := retrieve(awsaccess.Access{}); err != nil {
		t.Errorf("environment: %v", err)
	}
	t.Setenv(credpolicy.AllowVariable, "credential_process")
	if err := retrieve(awsaccess.Access{CredentialsFile: path}); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// Credentials files are read as Windows writes them.
func TestEncodings(t *testing.T) {
	const text = "[default]\r\naws_access_key_id = a\r\naws_secret_access_key = b\r\n"
	utf16 := func(first, second byte) string {
		data := []byte{first, second}
		for _, c := range []byte(text) {
			if first == 0xff {
				data = append(data, c, 0)
			} else {
				data = append(data, 0, c)
			}
		}
		return string(data)
	}
	for name, c := range map[string]struct {
		content string
		says    string // in the error, "" for none
	}{
		"UTF-8":                        {text, ""},
		"UTF-8 with a byte order mark": {"\ufeff" + text, ""},
		"UTF-16":                       {utf16(0xff, 0xfe), ""},
		"UTF-16, big endian":           {utf16(0xfe, 0xff), ""},
		"UTF-32":                       {"\xff\xfe\x00\x00[\x00\x00\x00", "UTF-32"},
		"no text":                      {"\x00\x01\x02\x00\x00\x00\x07", "not text"},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		for form, access := range map[string]awsaccess.Access{
			"file":   {CredentialsFile: path},
			"secret": {Given: &awsaccess.Given{From: "secret a/b", Content: credfile.Sensitive(c.content)}},
		} {
			_, err := access.Identity(t.Context())
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "no section")) {
				t.Errorf("%s, %s: %v", name, form, err)
			}
		}
	}
}
