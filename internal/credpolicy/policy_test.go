package credpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

const (
	openShiftToken  = "/var/run/secrets/openshift/serviceaccount/token"
	kubernetesToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// The tables are complete: each of these settings is refused with these values, and
// harmless with those.
func TestTables(t *testing.T) {
	for _, c := range []struct {
		table             Table
		name              string
		refused, harmless []string // for a location's own credential
	}{
		{AWS, "credential_process", []string{"true", "/bin/sh -c id"}, nil},
		{AWS, "credential_source", []string{"Ec2InstanceMetadata", "EcsContainer", "Environment"}, nil},
		{AWS, "web_identity_token_file", []string{kubernetesToken, "/etc/passwd", openShiftToken + "/../token", "/var/run/secrets/openshift/../openshift/serviceaccount/token", "/credentials/cloud"},
			[]string{openShiftToken, "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}},
		{AWS, "services", []string{"x"}, nil},
		{AWS, "endpoint_url", []string{"https://sts.amazonaws.com.evil.org"}, nil},
		{AWS, "ec2_metadata_service_endpoint", []string{"http://evil.org"}, nil},
		{AWS, "ca_bundle", []string{"/etc/passwd"}, nil},
		{AWS, "sso_session", []string{"x"}, nil},
		{AWS, "sso_start_url", []string{"https://x"}, nil},
		{AWS, "login_session", []string{"x"}, nil},
		{Azure, "AZURE_FEDERATED_TOKEN_FILE", []string{kubernetesToken}, []string{openShiftToken, "/var/run/secrets/azure/tokens/azure-identity-token"}},
		{Azure, "AZURE_CLIENT_CERTIFICATE_PATH", []string{"/credentials-azure/cloud"}, nil},
		{Azure, "AZURE_AUTHORITY_HOST", []string{"https://evil.org", "http://login.microsoftonline.com", "https://login.microsoftonline.com@evil.org", "https://login.microsoftonline.com.evil.org", "https://login.microsoftonline.com:444", "login.microsoftonline.com"},
			[]string{"https://login.microsoftonline.com", "https://login.microsoftonline.com/", "https://LOGIN.microsoftonline.us:443"}},
		{GCP, "credential_source.executable", []string{"{"}, nil},
		{GCP, "credential_source.file", []string{kubernetesToken}, []string{openShiftToken}},
		{GCP, "credential_source.url", []string{"http://169.254.169.254/token"}, nil},
		{GCP, "credential_source.environment_id", []string{"aws1"}, nil},
		{GCP, "credential_source.region_url", []string{"http://evil.org"}, nil},
		{GCP, "credential_source.regional_cred_verification_url", []string{"https://evil.org"}, nil},
		{GCP, "credential_source.imdsv2_session_token_url", []string{"https://evil.org"}, nil},
		{GCP, "credential_source.certificate", []string{"{"}, nil},
		{GCP, "token_url", []string{"https://evil.org", "http://sts.googleapis.com/v1/token", "https://sts.googleapis.com.evil.org/v1/token", "https://sts.googleapis.com@evil.org/", "https://evil.org/https://sts.googleapis.com/", "https://sts.googleapis.com\\@evil.org/"},
			[]string{"https://sts.googleapis.com/v1/token", "https://sts.mtls.googleapis.com/v1/token", "https://sts.europe-west1.rep.googleapis.com/v1/token"}},
		{GCP, "token_info_url", []string{"https://evil.org"}, []string{"https://sts.googleapis.com/v1/introspect"}},
		{GCP, "revoke_url", []string{"https://evil.org"}, []string{"https://sts.googleapis.com/v1/revoke"}},
		{GCP, "service_account_impersonation_url", []string{"https://evil.org", "https://sts.googleapis.com/v1/token"}, []string{"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken"}},
		{GCP, "token_uri", []string{"https://evil.org/token"}, []string{"https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token"}},
		{GCP, "universe_domain", []string{"evil.org"}, []string{"googleapis.com"}},
		{GCP, "type", []string{"gdch_service_account", "x"}, []string{"service_account", "external_account"}},
		{GCP, "ca_cert_path", []string{"/etc/passwd"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, value := range c.refused {
				err := c.table.Check(LocationOwner, "secret a/b", Value{c.name, value})
				if !errors.Is(err, Refused) {
					t.Fatalf("%s: %v", value, err)
				}
				for _, word := range []string{"secret a/b", c.name, AllowVariable + "=" + c.name, c.table.Instead} {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q is not in: %v", word, err)
					}
				}
				if len(value) > 4 && strings.Contains(err.Error(), value) {
					t.Errorf("the value is in: %v", err)
				}
				if err := c.table.Check(Administrator, "", Value{c.name, value}); err != nil {
					t.Errorf("administrator: %v", err)
				}
			}
			for _, value := range c.harmless {
				if err := c.table.Check(LocationOwner, "", Value{c.name, value}); err != nil {
					t.Errorf("%s: %v", value, err)
				}
			}
			t.Setenv(AllowVariable, "other , "+c.name)
			if err := c.table.Check(User, "", Value{c.name, c.refused[0]}); err != nil {
				t.Errorf("allowed: %v", err)
			}
		})
	}
	for name, table := range map[string]Table{"AWS": AWS, "Azure": Azure, "GCP": GCP} {
		if err := table.Check(User, "", Value{"unknown", "x"}, Value{table.Settings[0].Name, ""}); err != nil {
			t.Errorf("%s: an unknown and an empty setting: %v", name, err)
		}
	}
}

// The config of a location is looked at when it is a user's.
func TestConfigTables(t *testing.T) {
	for _, c := range []struct {
		table Table
		value Value
		users bool // also for users
	}{
		{AWSConfig, Value{"customerKeyEncryptionFile", "/credentials/cloud"}, false},
		{AWSConfig, Value{"customerKeyEncryptionSecret", "other/key"}, false},
		{AzureConfig, Value{"activeDirectoryAuthorityURI", "https://evil.org"}, false},
		{AzureConfig, Value{"activeDirectoryAuthorityURI", "https://login.microsoftonline.us"}, true},
		{AzureConfig, Value{"resourceManagerEndpoint", "https://evil.org"}, false},
		{AzureConfig, Value{"resourceManagerEndpoint", "https://management.azure.com"}, true},
		{AzureConfig, Value{"resourceManagerAudience", "https://x"}, false},
		{AzureConfig, Value{"disableInstanceDiscovery", "true"}, false},
		{AzureConfig, Value{"disableInstanceDiscovery", "false"}, true},
	} {
		if err := c.table.Check(LocationOwner, "", c.value); err != nil {
			t.Errorf("%s of an administrator: %v", c.value, err)
		}
		if err := c.table.Check(User, "", c.value); (err == nil) != c.users || err != nil && !errors.Is(err, Refused) {
			t.Errorf("%s of a user: %v", c.value, err)
		}
	}
}

// The tokens of the pod are for administrators' locations: those of the list, of
// the pod's own variables, and those that an administrator adds.
func TestTokenFiles(t *testing.T) {
	const added, webhook = "/var/run/secrets/vault/token", "/var/run/secrets/webhook/token"
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", webhook)
	for path, want := range map[string]bool{openShiftToken: true, webhook: true, added: false, kubernetesToken: false} {
		if got := isTokenFile(LocationOwner, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
		if isTokenFile(User, path) {
			t.Errorf("%s is for users", path)
		}
	}
	t.Setenv(TokenFilesVariable, "/other, "+added)
	if !isTokenFile(LocationOwner, added) || isTokenFile(LocationOwner, kubernetesToken) {
		t.Error("the paths of the variable do not count")
	}
	if err := CheckPodIdentity(LocationOwner, "x"); err != nil {
		t.Error(err)
	}
	if err := CheckPodIdentity(User, "x"); !errors.Is(err, Refused) || !strings.Contains(err.Error(), AllowVariable+"="+PodIdentity) {
		t.Error(err)
	}
	t.Setenv(AllowVariable, PodIdentity)
	if err := CheckPodIdentity(User, "x"); err != nil {
		t.Error(err)
	}
}

// A user's location is known by the secret that the controller copies, whose name
// ends with a UUID, and by the marks of the object where that is known.
func TestAuthors(t *testing.T) {
	const nonAdmin = "shop-minio-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a"
	for path, want := range map[string]Author{
		location.CredentialsFile("openshift-adp", nonAdmin, "cloud"):                               User,
		location.CredentialsFile("openshift-adp", "5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a", "a-b.c"): User,
		location.CredentialsFile("openshift-adp", "cloud-credentials", "cloud"):                    LocationOwner,
		"/credentials/cloud":                LocationOwner,
		"/tmp/" + nonAdmin + "/credentials": LocationOwner, // not where Velero writes them
	} {
		if got := OfFile(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	for name, c := range map[string]struct {
		location location.Location
		want     Author
	}{
		"plain":      {location.Location{Credential: &location.SecretKey{Name: "cloud-credentials", Key: "cloud"}}, LocationOwner},
		"operator's": {location.Location{Labels: map[string]string{location.ManagedByLabel: location.ManagedByOADP}}, LocationOwner},
		"controller": {location.Location{Labels: map[string]string{location.ManagedByLabel: ManagedByNonAdmin}}, User},
		"origin":     {location.Location{Labels: map[string]string{NonAdminLabel: nonAdmin}}, User},
		"secret":     {location.Location{Credential: &location.SecretKey{Name: nonAdmin, Key: "cloud"}}, User},
	} {
		if got := OfLocation(&c.location); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Fields of Google's JSON are found however they are written.
func TestGCPValues(t *testing.T) {
	find := func(document string) error {
		values, err := GCPValues([]byte(document))
		if err != nil {
			return err
		}
		return GCP.Check(LocationOwner, "x", values...)
	}
	harmless := fmt.Sprintf(`{"type":"external_account","audience":"//iam.googleapis.com/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
		"token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":%q,"format":{"type":"text"}},
		"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken"}`, openShiftToken)
	if err := find(harmless); err != nil {
		t.Errorf("what OADP writes: %v", err)
	}
	for _, document := range []string{
		`{"credential_source":{"executable":{"command":"id"}}}`,
		`{"Credential_Source":{"EXECUTABLE":{"command":"id"}}}`,
		`{"credential_ſource":{"executable":null},"credential_source":{"executable":{}}}`,
		`{"credential_ſource":{"executable":{}}}`,
		`{"token_url":"https://sts.googleapis.com/","TOKEN_URL":"https://evil.org"}`,
		`{"token_url":"https://evil.org","token_url":"https://sts.googleapis.com/"}`,
		`{"type":"impersonated_service_account","source_credentials":{"type":"external_account","token_url":"https://evil.org"}}`,
		`{"source_credentials":{"source_credentials":{"credential_source":{"file":"/etc/passwd"}}}}`,
		`{"credential_source":{"url":["http://x"]}}`,
	} {
		if err := find(document); !errors.Is(err, Refused) {
			t.Errorf("%s: %v", document, err)
		}
	}
	for _, document := range []string{"", "{", `{"a":}`, "[[[[[[[[[[[[]]]]]]]]]]]]", `{} {"token_url":"https://evil.org"}`, "SECRET"} {
		if err := find(document); err == nil || errors.Is(err, Refused) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func FuzzGCPValues(f *testing.F) {
	f.Add([]byte(`{"type":"service_account","source_credentials":{"token_url":"https://x"}}`))
	f.Add([]byte(`[{"A":[1,null,true]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := GCPValues(data)
		if err == nil && len(values) == 0 && !slices.Contains([]string{"null"}, strings.TrimSpace(string(data))) {
			t.Errorf("no values in %q", data)
		}
	})
}
