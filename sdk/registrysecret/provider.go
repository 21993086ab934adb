package registrysecret

import (
	"cmp"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// provider says where the credentials of one provider are and how they are
// read.
type provider struct {
	name          string
	defaultSecret string
	defaultKeys   []string // the key that OADP documents, then that of its console installation
	fileEnv       string   // environment variable with the path of the credentials file
	mount         string   // path of the default secret in the Velero pod
	registryKeys  []string // keys of the registry secret that make a credential; none when there is no such secret

	fromRegistry func(s *search, data map[string][]byte) (Credential, error)
	fromFile     func(s *search, content []byte) (Credential, error)
	fromEnv      func(s *search) (c Credential, from string, ok bool)
}

// Providers whose buckets can hold images. The credentials of gcp are found as well.
var supported = []string{"aws", "azure"}

func providerOf(kind string) (provider, bool) {
	switch kind {
	case "aws":
		return provider{
			name:          "aws",
			defaultSecret: "cloud-credentials", defaultKeys: []string{"cloud", "credentials"},
			fileEnv: "AWS_SHARED_CREDENTIALS_FILE", mount: "/credentials/cloud",
			registryKeys: []string{"access_key", "secret_key"},
			fromRegistry: awsRegistry, fromFile: awsFile, fromEnv: awsEnv,
		}, true
	case "azure":
		return provider{
			name:          "azure",
			defaultSecret: "cloud-credentials-azure", defaultKeys: []string{"cloud", "azurekey"},
			fileEnv: "AZURE_CREDENTIALS_FILE", mount: "/credentials-azure/cloud",
			registryKeys: []string{"storage_account_key", "tenant_id_key", "client_id_key", "client_secret_key"},
			fromRegistry: azureRegistry, fromFile: azureFile, fromEnv: azureEnv,
		}, true
	case "gcp":
		return provider{
			name:          "gcp",
			defaultSecret: "cloud-credentials-gcp", defaultKeys: []string{"cloud", "service_account.json"},
			fileEnv: "GOOGLE_APPLICATION_CREDENTIALS", mount: "/credentials-gcp/cloud",
			fromFile: gcpFile,
			fromEnv:  func(*search) (Credential, string, bool) { return Credential{}, "", false },
		}, true
	}
	return provider{}, false
}

func awsRegistry(s *search, data map[string][]byte) (Credential, error) {
	a := &credfile.AWS{
		AccessKeyID:     value(data, "access_key"),
		SecretAccessKey: credfile.Sensitive(value(data, "secret_key")),
	}
	if !a.HasKeys() {
		return Credential{}, s.registryIncomplete(data)
	}
	return Credential{AWS: a}, nil
}

func awsFile(s *search, content []byte) (Credential, error) {
	profile := cmp.Or(s.location.Config["profile"], s.Getenv("AWS_PROFILE"), s.Getenv("AWS_DEFAULT_PROFILE"), "default")
	a, err := credfile.ReadAWS(content, profile)
	return Credential{AWS: a}, err
}

func awsEnv(s *search) (Credential, string, bool) {
	a := &credfile.AWS{
		AccessKeyID:     s.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: credfile.Sensitive(s.Getenv("AWS_SECRET_ACCESS_KEY")),
		SessionToken:    credfile.Sensitive(s.Getenv("AWS_SESSION_TOKEN")),
	}
	if a.HasKeys() {
		return Credential{AWS: a}, "environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", true
	}
	a = &credfile.AWS{
		RoleARN:              s.Getenv("AWS_ROLE_ARN"),
		RoleSessionName:      s.Getenv("AWS_ROLE_SESSION_NAME"),
		WebIdentityTokenFile: s.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"),
	}
	return Credential{AWS: a}, "environment variables AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE", a.HasRole()
}

func azureRegistry(s *search, data map[string][]byte) (Credential, error) {
	a := &credfile.Azure{
		AccountKey:     credfile.Sensitive(value(data, "storage_account_key")),
		TenantID:       value(data, "tenant_id_key"),
		ClientID:       value(data, "client_id_key"),
		ClientSecret:   credfile.Sensitive(value(data, "client_secret_key")),
		SubscriptionID: value(data, "subscription_id_key"),
		ResourceGroup:  value(data, "resource_group_key"),
	}
	s.addWorkloadIdentity(a)
	if a.Check() != nil {
		return Credential{}, s.registryIncomplete(data)
	}
	a.CloudName = s.azureCloud()
	return Credential{Azure: a}, nil
}

// azureCloud returns AZURE_CLOUD_NAME of the credentials from which the operator has
// made the registry secret, which itself does not tell the cloud. It is empty for
// the public cloud and when those credentials cannot be read.
func (s *search) azureCloud() string {
	c, from, err := s.readOwn()
	if err == nil && from == "" {
		c, _, err = s.secretKey(s.provider.defaultSecret, s.provider.defaultKeys...)
	}
	if err != nil {
		return ""
	}
	return c.Azure.CloudName
}

func azureFile(s *search, content []byte) (Credential, error) {
	entries, err := credfile.ReadEnv(content)
	if err != nil {
		return Credential{}, err
	}
	a := credfile.AzureFrom(entries, s.location.Config["storageAccountKeyEnvVar"])
	a.SASToken = entries[s.location.Config["storageAccountSASTokenEnvVar"]]
	s.addWorkloadIdentity(a)
	return Credential{Azure: a}, a.Check()
}

func azureEnv(s *search) (Credential, string, bool) {
	a := &credfile.Azure{}
	s.addWorkloadIdentity(a)
	return Credential{Azure: a}, "environment variables AZURE_TENANT_ID and AZURE_CLIENT_ID", a.HasWorkloadIdentity()
}

// openShiftToken is where OADP mounts the service account's token for cloud
// providers.
const openShiftToken = "/var/run/secrets/openshift/serviceaccount/token"

// addWorkloadIdentity completes an application without a secret of its own from
// the environment, where the workload identity webhook puts it.
func (s *search) addWorkloadIdentity(a *credfile.Azure) {
	if a.ClientSecret != "" || a.ClientCertificate != "" || a.ClientCertificatePath != "" {
		return
	}
	a.TenantID = cmp.Or(a.TenantID, s.Getenv("AZURE_TENANT_ID"))
	a.ClientID = cmp.Or(a.ClientID, s.Getenv("AZURE_CLIENT_ID"))
	a.FederatedTokenFile = cmp.Or(a.FederatedTokenFile, s.Getenv(credfile.AzureFederatedTokenFile))
	if a.FederatedTokenFile == "" && a.TenantID != "" && a.ClientID != "" {
		if _, err := s.ReadFile(openShiftToken); err == nil {
			a.FederatedTokenFile = openShiftToken
		}
	}
}

func gcpFile(_ *search, content []byte) (Credential, error) {
	g, err := credfile.ReadGCP(content)
	return Credential{GCP: g}, err
}

// opensLike reports whether two credentials of one provider are the same, as
// far as a registry secret can tell.
func (c Credential) opensLike(other Credential) bool {
	switch {
	case c.AWS != nil && other.AWS != nil:
		a, b := c.AWS, other.AWS
		return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey
	case c.Azure != nil && other.Azure != nil:
		a, b := c.Azure, other.Azure
		return a.AccountKey == b.AccountKey && a.TenantID == b.TenantID && a.ClientID == b.ClientID && a.ClientSecret == b.ClientSecret
	}
	return false
}

// value returns a value of a secret without the line end that comes with values
// made from files.
func value(data map[string][]byte, key string) string { return strings.TrimSpace(string(data[key])) }

// registryName is the name of the registry secret. The operator builds it with
// the provider as written; a provider with a slash makes no legal name, so the
// short form is what can exist.
func registryName(l *location.Location) string {
	return "oadp-" + l.Name + "-" + l.ProviderKind() + "-registry-secret"
}
