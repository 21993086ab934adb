package open_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/buckettest"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/independent"
)

// azureScene is a location with a container of a storage account.
type azureScene struct {
	*scene
	azurite   *stack.Azurite
	endpoint  string
	container *container.Client
}

const (
	azureRegistrySecret = "oadp-default-azure-registry-secret"
	azureBlockSize      = 256 << 10 // small, to keep tests quick
)

func newAzureScene(t testing.TB, secure bool) *azureScene {
	t.Helper()
	bareOfAzure(t)
	a := servers.Azurite(t)
	s := &azureScene{scene: &scene{t: t, bucket: a.NewContainer(t), provider: "azure", env: map[string]string{}}, azurite: a, endpoint: a.Endpoint}
	s.objectStorage = map[string]any{"bucket": s.bucket, "prefix": "velero"}
	if secure {
		s.endpoint = a.TLSEndpoint
		s.objectStorage["caCertRef"] = map[string]any{"name": "trust", "key": "ca.crt"}
	}
	client, err := a.Client(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	s.container = client.NewContainerClient(s.bucket)
	s.config = map[string]any{"storageAccount": a.Account, "storageAccountURI": s.endpoint, "blockSizeInBytes": fmt.Sprint(azureBlockSize)}
	s.secrets = map[string]map[string][]byte{
		"trust":             {"ca.crt": a.CAPEM},
		azureRegistrySecret: {"storage_account_key": []byte(a.Key), "tenant_id_key": nil},
	}
	return s
}

// bareOfAzure empties the environment of all that has to do with Azure.
func bareOfAzure(t testing.TB) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") {
			t.Setenv(name, "") // restores it at the end
			os.Unsetenv(name)
		}
	}
}

// azureScene implements buckettest.Harness.
func (s *azureScene) Bucket() objectstore.Bucket { return s.mustOpen() }
func (s *azureScene) PartSize() int              { return azureBlockSize }
func (s *azureScene) Independent() buckettest.Independent {
	return independent.Azure{Client: s.container}
}
func (s *azureScene) Lost() objectstore.Bucket {
	whole := s.objectStorage
	s.objectStorage = map[string]any{"bucket": "no-such-container", "caCertRef": whole["caCertRef"]}
	if whole["caCertRef"] == nil {
		delete(s.objectStorage, "caCertRef")
	}
	defer func() { s.objectStorage = whole }()
	return s.mustOpen()
}

// only leaves a location's own credential of the given content.
func (s *azureScene) only(content string) {
	delete(s.secrets, azureRegistrySecret)
	s.scene.only(content)
}

// Names with and without a slash in front are different blobs, and a reader of
// images is told to look for both.
func TestBothSpellingsInAzure(t *testing.T) {
	s := newAzureScene(t, overHTTP)
	b := s.mustOpen()
	if !b.SlashedImageKeys {
		t.Error("a reader would not look for /docker/...")
	}
	keys := []string{"docker/registry/v2/k", "/docker/registry/v2/k"}
	for _, key := range keys {
		if err := b.Put(t.Context(), key, strings.NewReader(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range keys {
		if got, err := get(t.Context(), b, key); err != nil || string(got) != key {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		if got, err := s.Independent().Read(t.Context(), key); err != nil || string(got) != key {
			t.Errorf("%s: an independent client reads %q, %v", key, got, err)
		}
		var listed []string
		for o, err := range b.List(t.Context(), key[:len(key)-1]) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, o.Key)
		}
		if !slices.Equal(listed, []string{key}) {
			t.Errorf("listed %q", listed)
		}
	}
	if s := newScene(t, overHTTP); s.mustOpen().SlashedImageKeys {
		t.Error("a reader would look for /docker/... in S3")
	}
}

// azureAccount is a scene whose storage account belongs to a subscription.
type azureAccount struct {
	*azureScene
	*azurefake.Cloud
	app, podApp azurefake.App
	token       string // path of the pod's token
}

func newAzureAccount(t *testing.T) *azureAccount {
	t.Helper()
	a := &azureAccount{azureScene: newAzureScene(t, overTLS), Cloud: azurefake.New()}
	a.app, a.podApp = a.AddApp(azurefake.App{Secret: "s3cret"}), a.AddApp(azurefake.App{})
	a.Trust("the pod's token", a.podApp.ClientID)
	a.token = file(t, "token", "the pod's token")
	a.AddAccount("storage", azurefake.Account{
		Name: a.azurite.Account, Endpoint: a.endpoint, Keys: []azurefake.Key{{Name: "key1", Value: a.azurite.Key, Permissions: "Full"}},
	})
	login, ca := fakecloud.ServeTLS(t, a.Login())
	manager, _ := fakecloud.ServeTLS(t, a.ResourceManager())
	a.secrets["trust"]["ca.crt"] = slices.Concat(a.azurite.CAPEM, ca)
	for key, value := range map[string]string{
		"activeDirectoryAuthorityURI": login, "resourceManagerEndpoint": manager,
		"resourceManagerAudience": "https://management.azure.com", "disableInstanceDiscovery": "true",
	} {
		a.config[key] = value
	}
	delete(a.secrets, azureRegistrySecret)
	return a
}

// signature returns a shared access signature of the container.
func (a *azureAccount) signature() string {
	a.t.Helper()
	permissions := sas.ContainerPermissions{Read: true, Add: true, Create: true, Write: true, Delete: true, List: true}
	address, err := a.container.GetSASURL(permissions, time.Now().Add(time.Hour), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	_, query, _ := strings.Cut(address, "?")
	return query
}

// The credential that was found opens the container, whatever its form, and in the
// way that the location asks for.
func TestCredentialsOfAzure(t *testing.T) {
	a := newAzureAccount(t)
	fill := strings.NewReplacer(
		"{KEY}", a.azurite.Key, "{SAS}", a.signature(), "{TOKEN}", a.token, "{POD}", a.podApp.ClientID, "{TENANT}", a.Tenant, "{CLIENT}", a.app.ClientID,
		"{APP}", fmt.Sprintf("AZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\n", a.Tenant, a.app.ClientID),
		"{GROUP}", fmt.Sprintf("AZURE_SUBSCRIPTION_ID=%s\nAZURE_RESOURCE_GROUP=storage\n", a.Subscription),
		"{IDENTITY}", fakecloud.Serve(t, a.ManagedIdentity("header", a.podApp.ClientID)),
	)
	const key = "AZURE_STORAGE_ACCOUNT_ACCESS_KEY={KEY}\n"
	principal := map[string]string{"tenant_id_key": "{TENANT}", "client_id_key": "{CLIENT}", "client_secret_key": "s3cret"}
	machine := map[string]string{"IDENTITY_ENDPOINT": "{IDENTITY}", "IDENTITY_HEADER": "header"}
	with := func(more map[string]string, m map[string]string) map[string]string {
		all := map[string]string{}
		for _, from := range []map[string]string{m, more} {
			for k, v := range from {
				all[k] = v
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		registry map[string]string // content of the registry secret
		secret   string            // of the location
		standard string            // the default secret
		mounted  string            // file of the environment
		config   map[string]string
		env      map[string]string
		source   registrysecret.Source
		want     string // the credential that the store tells of in the log
	}{
		"registry secret with a key": {
			registry: map[string]string{"storage_account_key": "{KEY}"}, source: registrysecret.RegistrySecret,
			want: "the account key in AZURE_STORAGE_ACCOUNT_ACCESS_KEY of secret openshift-adp/oadp-default-azure-registry-secret",
		},
		"registry secret with a key, for a location that names its entry": {
			registry: map[string]string{"storage_account_key": "{KEY}"}, config: map[string]string{"storageAccountKeyEnvVar": "MY_KEY"},
			source: registrysecret.RegistrySecret, want: "the account key in MY_KEY of secret",
		},
		"registry secret with a key alone, for a location with useAAD": {
			registry: map[string]string{"storage_account_key": "{KEY}"}, config: map[string]string{"useAAD": "true"},
			source: registrysecret.RegistrySecret, want: "the account key in",
		},
		"registry secret with a key, for a location with a signature": {
			registry: map[string]string{"storage_account_key": "{KEY}"}, config: map[string]string{"storageAccountSASTokenEnvVar": "MY_SAS"},
			source: registrysecret.RegistrySecret, want: "the account key in",
		},
		"registry secret with both": {
			registry: with(principal, map[string]string{"storage_account_key": "{KEY}"}), config: map[string]string{"useAAD": "false"},
			source: registrysecret.RegistrySecret, want: "the account key in",
		},
		"registry secret with both, for a location with useAAD": {
			registry: with(principal, map[string]string{"storage_account_key": "{KEY}"}), config: map[string]string{"useAAD": "true"},
			source: registrysecret.RegistrySecret, want: "the client secret of application {CLIENT}",
		},
		"registry secret without a key": {
			registry: with(principal, map[string]string{"storage_account_key": ""}), config: map[string]string{"useAAD": "true", "storageAccountKeyEnvVar": "MY_KEY"},
			source: registrysecret.RegistrySecret, want: "the client secret of application {CLIENT}",
		},
		"registry secret with the application of the pod": {
			registry: map[string]string{"tenant_id_key": "{TENANT}", "client_id_key": "{POD}"}, config: map[string]string{"useAAD": "true"},
			env: map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "{TOKEN}"}, source: registrysecret.RegistrySecret, want: "the workload identity of application {POD}",
		},
		"registry secret, key looked up": {
			registry: with(principal, map[string]string{"subscription_id_key": a.Subscription, "resource_group_key": "storage"}),
			source:   registrysecret.RegistrySecret, want: "the account key that client secret of application {CLIENT}",
		},
		"secret with a key":               {secret: key, source: registrysecret.LocationCredential, want: "the account key in AZURE_STORAGE_ACCOUNT_ACCESS_KEY of secret openshift-adp/mine, key cloud"},
		"secret with a key of its own":    {secret: "MY_KEY: '{KEY}'\r\n", config: map[string]string{"storageAccountKeyEnvVar": "MY_KEY"}, source: registrysecret.LocationCredential, want: "the account key in MY_KEY of secret openshift-adp/mine"},
		"secret with a signature":         {secret: "MY_SAS='{SAS}'\n", config: map[string]string{"storageAccountSASTokenEnvVar": "MY_SAS"}, source: registrysecret.LocationCredential, want: "the shared access signature in MY_SAS of secret openshift-adp/mine"},
		"secret with both, useAAD":        {secret: key + "{APP}", config: map[string]string{"useAAD": "true"}, source: registrysecret.LocationCredential, want: "the client secret of application {CLIENT}"},
		"secret, key looked up":           {secret: "{APP}{GROUP}", source: registrysecret.LocationCredential, want: "the account key that client secret of application {CLIENT}"},
		"secret with a managed identity":  {secret: "AZURE_CLIENT_ID={POD}\n", config: map[string]string{"useAAD": "true"}, env: machine, source: registrysecret.LocationCredential, want: "the user-assigned managed identity with the client id {POD}"},
		"default secret":                  {standard: key, source: registrysecret.DefaultSecret, want: "of secret openshift-adp/cloud-credentials-azure, key cloud"},
		"default secret, pod's token":     {standard: "\nAZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={POD}\n", config: map[string]string{"useAAD": "true"}, env: map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "{TOKEN}"}, source: registrysecret.DefaultSecret, want: "the workload identity of application {POD}"},
		"mounted file":                    {mounted: key, source: registrysecret.Mounted, want: "the account key in AZURE_STORAGE_ACCOUNT_ACCESS_KEY of file "},
		"application of the environment":  {config: map[string]string{"useAAD": "true"}, env: map[string]string{"AZURE_TENANT_ID": "{TENANT}", "AZURE_CLIENT_ID": "{POD}", "AZURE_FEDERATED_TOKEN_FILE": "{TOKEN}"}, source: registrysecret.Mounted, want: "the workload identity of application {POD}"},
		"managed identity of the machine": {config: map[string]string{"useAAD": "true"}, env: machine, source: registrysecret.Ambient, want: "the system-assigned managed identity"},
	} {
		t.Run(name, func(t *testing.T) {
			inner, s := *a.azureScene, *a.scene
			inner.scene, s.t = &s, t
			s.config, s.secrets, s.credential = map[string]any{}, map[string]map[string][]byte{"trust": a.secrets["trust"]}, ""
			for k, v := range a.config {
				s.config[k] = v
			}
			for k, v := range c.config {
				s.config[k] = v
			}
			if c.registry != nil {
				s.secrets[azureRegistrySecret] = map[string][]byte{}
				for k, v := range c.registry {
					s.secrets[azureRegistrySecret][k] = []byte(fill.Replace(v))
				}
			}
			if c.secret != "" {
				inner.only(fill.Replace(c.secret))
			}
			if c.standard != "" {
				s.secrets["cloud-credentials-azure"] = map[string][]byte{"cloud": []byte(fill.Replace(c.standard))}
			}
			if c.mounted != "" {
				t.Setenv("AZURE_CREDENTIALS_FILE", file(t, "azure", fill.Replace(c.mounted)))
			}
			for k, v := range c.env {
				t.Setenv(k, fill.Replace(v))
			}
			t.Setenv(credpolicy.TokenFilesVariable, a.token)
			found, err := s.find()
			if err != nil {
				t.Fatal(err)
			}
			if found.Source != c.source {
				t.Errorf("the credential is from the %s", found.Source)
			}
			var log bytes.Buffer
			b, err := open.Bucket(t.Context(), found, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			body := random(3*azureBlockSize + 1)
			if err := b.Put(t.Context(), "docker/k", stream(body)); err != nil {
				t.Fatal(err)
			}
			if got, err := get(t.Context(), b, "docker/k"); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if !strings.Contains(log.String(), fill.Replace(c.want)) {
				t.Errorf("%q is not in the log: %s", fill.Replace(c.want), log.String())
			}
			for _, hidden := range []string{a.azurite.Key, "s3cret", "sig="} {
				if strings.Contains(log.String(), hidden) {
					t.Errorf("a secret is in the log: %s", log.String())
				}
			}
		})
	}
}

// The registry secret does not tell the cloud of the account; the credentials from
// which it was made do.
func TestRegistrySecretOfAnotherCloud(t *testing.T) {
	s := newAzureScene(t, overHTTP)
	delete(s.config, "storageAccountURI")
	s.secrets["cloud-credentials-azure"] = map[string][]byte{"cloud": []byte("AZURE_STORAGE_ACCOUNT_ACCESS_KEY=" + s.azurite.Key + "\nAZURE_CLOUD_NAME=AzureUSGovernmentCloud\n")}
	found, err := s.find()
	if err != nil || found.Source != registrysecret.RegistrySecret {
		t.Fatalf("%+v, %v", found, err)
	}
	var log bytes.Buffer
	b, err := open.Bucket(t.Context(), found, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !strings.Contains(log.String(), "https://"+s.azurite.Account+".blob.core.usgovcloudapi.net") {
		t.Errorf("log: %s", log.String())
	}
}

// The location of a user without rights over the cluster gets neither the identity
// of Velero's pod or machine, nor a file of it.
func TestAzureLocationsOfUsers(t *testing.T) {
	a := newAzureAccount(t)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", a.token)
	t.Setenv(credpolicy.TokenFilesVariable, a.token)
	for _, key := range []string{"activeDirectoryAuthorityURI", "resourceManagerEndpoint", "resourceManagerAudience", "disableInstanceDiscovery"} {
		delete(a.config, key)
	}
	application := "AZURE_TENANT_ID=" + a.Tenant + "\nAZURE_CLIENT_ID=" + a.podApp.ClientID + "\n"
	key := "AZURE_STORAGE_ACCOUNT_ACCESS_KEY=" + a.azurite.Key + "\n"
	for name, c := range map[string]struct {
		secret string
		config map[string]any
		code   fault.Code // none for a location that works
	}{
		"account key":               {secret: key},
		"key beside an application": {secret: key + application},
		"pod's token":               {secret: application, config: map[string]any{"useAAD": "true"}, code: credpolicy.Refused},
		"key, but useAAD":           {secret: key + application, config: map[string]any{"useAAD": "true"}, code: credpolicy.Refused},
		"key looked up as the pod":  {secret: application, code: credpolicy.Refused},
		"managed identity":          {secret: "AZURE_CLIENT_ID=" + a.podApp.ClientID + "\n", config: map[string]any{"useAAD": "true"}, code: credpolicy.Refused},
		"token file":                {secret: key + "AZURE_FEDERATED_TOKEN_FILE=" + a.token + "\n", code: credpolicy.Refused},
		"certificate's file":        {secret: application + "AZURE_CLIENT_CERTIFICATE_PATH=/credentials-azure/cloud\n", code: credpolicy.Refused},
		"login service":             {secret: key, config: map[string]any{"activeDirectoryAuthorityURI": "https://login.example.com"}, code: credpolicy.Refused},
		"nothing of its own":        {secret: "AZURE_CLOUD_NAME=AzurePublicCloud\n", code: registrysecret.NoCredential},
	} {
		t.Run(name, func(t *testing.T) {
			inner, s := *a.azureScene, *a.scene
			inner.scene, s.t = &s, t
			s.config, s.secrets = map[string]any{}, map[string]map[string][]byte{"trust": a.secrets["trust"]}
			for _, from := range []map[string]any{a.config, c.config} {
				for k, v := range from {
					s.config[k] = v
				}
			}
			inner.only(c.secret)
			if c.code == registrysecret.NoCredential {
				t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "") // by which the finder completes an application
				s.secrets["cloud-credentials-azure"] = map[string][]byte{"cloud": []byte(key)}
			}
			s.labels = map[string]any{
				location.ManagedByLabel: credpolicy.ManagedByNonAdmin, credpolicy.NonAdminLabel: "shop-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a",
			}
			b, err := s.open()
			if err == nil {
				defer b.Close()
				err = b.Put(t.Context(), "docker/k", strings.NewReader("x"))
			}
			if c.code.ID == "" && err != nil || c.code.ID != "" && !errors.Is(err, c.code) {
				t.Errorf("error: %v", err)
			}
		})
	}
	if calls := a.Calls(""); len(calls) > 0 {
		t.Errorf("requests: %+v", calls)
	}
}

// What is wrong with a credential or what the service answers is said with the
// location, the place of the credential and the key, and without a secret.
func TestAzureErrors(t *testing.T) {
	s := newAzureScene(t, overHTTP)
	target, err := url.Parse(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    string
		answer string // code of the service's answer, "" for its own
		status int
		codes  []fault.Code
		says   []string
	}{
		"wrong key":     {key: "SElERQ==", codes: []fault.Code{azblob.CodeAuthentication}},
		"no key":        {key: "HIDE!", codes: []fault.Code{azblob.CodeAccountKey}, says: []string{"not in base64"}},
		"denied":        {answer: "AuthorizationPermissionMismatch", status: 403, codes: []fault.Code{azblob.CodeDenied, registrysecret.BucketFailed}, says: []string{"docker/k", "403"}},
		"keys disabled": {answer: "KeyBasedAuthenticationNotPermitted", status: 403, codes: []fault.Code{azblob.CodeKeysDisabled}, says: []string{"docker/k", "useAAD"}},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.answer == "" {
					proxy.ServeHTTP(w, r)
					return
				}
				w.Header().Set("x-ms-error-code", c.answer)
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			inner := *s.scene
			inner.t, inner.config = t, map[string]any{"storageAccount": s.azurite.Account, "storageAccountURI": server.URL + target.Path}
			key := s.azurite.Key
			if c.key != "" {
				key = c.key
			}
			inner.secrets = map[string]map[string][]byte{azureRegistrySecret: {"storage_account_key": []byte(key)}}
			b, err := inner.open()
			if err == nil {
				defer b.Close()
				err = b.Put(t.Context(), "docker/k", strings.NewReader("x"))
			}
			for _, code := range c.codes {
				if !errors.Is(err, code) {
					t.Fatalf("not %s: %v", code.ID, err)
				}
			}
			for _, words := range append(c.says, s.bucket, "openshift-adp/default", "secret openshift-adp/"+azureRegistrySecret, "; fix: ") {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in: %v", words, err)
				}
			}
			if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "HIDE") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// Without any credential the finder's one error also tells what the search for an
// identity of the process came to.
func TestNoIdentityInAzure(t *testing.T) {
	a := newAzureAccount(t)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", a.token) // of which application is not told
	_, err := a.find()
	if !errors.Is(err, registrysecret.NoCredential) || !errors.Is(err, azureaccess.CodeCredentialsFile) ||
		!strings.Contains(err.Error(), "ambient identity: the pod and its node have no identity at the provider") {
		t.Errorf("error: %v", err)
	}
}
