package azureaccess_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

const scope = "https://management.azure.com/.default"

// world is a cloud, and a client that reaches it.
type world struct {
	t *testing.T
	*azurefake.Cloud
	client *http.Client
	login  string
	app    azurefake.App // with the secret s3cret
}

func newWorld(t *testing.T) *world {
	t.Helper()
	azurefake.ClearEnvironment(t)
	w := &world{t: t, Cloud: azurefake.New()}
	w.app = w.AddApp(azurefake.App{Secret: "s3cret"})
	var ca []byte
	w.login, ca = fakecloud.ServeTLS(t, w.Login())
	transport, err := endpoint.NewTransport(endpoint.Trust{CACert: string(ca)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = transport.Client()
	return w
}

// token returns the identity of credentials that a location brings, or that
// Velero's environment has.
func (w *world) token(credentials string, own bool) (*azureaccess.Token, error) {
	w.t.Helper()
	access := azureaccess.Access{Authority: w.login, DisableInstanceDiscovery: true}
	path := testfile.Write(w.t, credentials)
	if own {
		access.CredentialsFile = path
	} else {
		w.t.Setenv("AZURE_CREDENTIALS_FILE", path)
	}
	id, err := access.Identity(w.t.Context())
	if err != nil {
		return nil, err
	}
	return id.Token(w.client)
}

// certificate returns a certificate, and it with its key in PEM.
func certificate(t *testing.T) (*x509.Certificate, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "velero"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// The identity that counts gets a token, whatever its kind, and is named.
func TestIdentities(t *testing.T) {
	w := newWorld(t)
	parsed, text := certificate(t)
	certified, federated := w.AddApp(azurefake.App{Certificate: parsed}), w.AddApp(azurefake.App{})
	system, user := w.AddApp(azurefake.App{}), w.AddApp(azurefake.App{})
	w.Trust("the pod's token", federated.ClientID)
	tokenFile, certFile := testfile.Write(t, "the pod's token\n"), testfile.Write(t, text)
	identity := fakecloud.Serve(t, w.ManagedIdentity("header", system.ClientID))
	fill := strings.NewReplacer("{TENANT}", w.Tenant, "{APP}", w.app.ClientID, "{CERTIFIED}", certified.ClientID, "{FEDERATED}", federated.ClientID,
		"{USER}", user.ClientID, "{INLINE}", strings.ReplaceAll(text, "\n", `\n`), "{CERTFILE}", certFile, "{TOKENFILE}", tokenFile)
	for name, c := range map[string]struct {
		file string
		own  bool
		env  map[string]string
		want string
	}{
		"secret":                     {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=s3cret", true, nil, "client secret of application {APP}"},
		"colons":                     {"AZURE_TENANT_ID: {TENANT}\nAZURE_CLIENT_ID: {APP}\nAZURE_CLIENT_SECRET: s3cret", true, nil, "client secret of application {APP}"},
		"secret before the pod's":    {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=s3cret", true, map[string]string{"AZURE_FEDERATED_TOKEN_FILE": tokenFile}, "client secret of application {APP}"},
		"inline certificate":         {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={CERTIFIED}\nAZURE_CLIENT_CERTIFICATE=\"{INLINE}\"", true, nil, "client certificate of application {CERTIFIED}"},
		"file with a certificate":    {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={CERTIFIED}\nAZURE_CLIENT_CERTIFICATE_PATH={CERTFILE}", false, nil, "client certificate of application {CERTIFIED}"},
		"STS secret of OADP":         {"\nAZURE_SUBSCRIPTION_ID=s\nAZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={FEDERATED}\nAZURE_CLOUD_NAME=AzurePublicCloud\n", true, map[string]string{"AZURE_FEDERATED_TOKEN_FILE": tokenFile}, "workload identity of application {FEDERATED}"},
		"workload identity by env":   {"AZURE_SUBSCRIPTION_ID=s", false, map[string]string{"AZURE_FEDERATED_TOKEN_FILE": tokenFile, "AZURE_TENANT_ID": "{TENANT}", "AZURE_CLIENT_ID": "{FEDERATED}"}, "workload identity of application {FEDERATED}"},
		"workload identity by file":  {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={FEDERATED}\nAZURE_FEDERATED_TOKEN_FILE={TOKENFILE}", false, nil, "workload identity of application {FEDERATED}"},
		"managed identity of a user": {"AZURE_CLIENT_ID={USER}", true, map[string]string{"IDENTITY_ENDPOINT": identity, "IDENTITY_HEADER": "header"}, "user-assigned managed identity with the client id {USER}"},
		"machine's managed identity": {"AZURE_SUBSCRIPTION_ID=s", false, map[string]string{"IDENTITY_ENDPOINT": identity, "IDENTITY_HEADER": "header"}, "system-assigned managed identity"},
	} {
		t.Run(name, func(t *testing.T) {
			inner := *w
			inner.t = t
			for variable, value := range c.env {
				t.Setenv(variable, fill.Replace(value))
			}
			token, err := inner.token(fill.Replace(c.file), c.own)
			if err != nil {
				t.Fatal(err)
			}
			found, err := token.Retrieve(t.Context(), scope)
			if err != nil || !strings.Contains(found, fill.Replace(c.want)) {
				t.Errorf("%q, %v", found, err)
			}
		})
	}
}

// What is wrong with an identity is said with the entry to correct, and without a
// secret.
func TestUselessIdentities(t *testing.T) {
	w := newWorld(t)
	empty := fakecloud.Serve(t, w.ManagedIdentity("header", ""))
	fill := strings.NewReplacer("{TENANT}", w.Tenant, "{APP}", w.app.ClientID)
	for name, c := range map[string]struct {
		file string
		env  map[string]string
		code fault.Code
		says []string
	}{
		"no tenant":            {"AZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=HIDE", nil, azureaccess.CodeCredentialsFile, []string{"AZURE_TENANT_ID is required"}},
		"no client id":         {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_SECRET=HIDE", nil, azureaccess.CodeCredentialsFile, []string{"AZURE_CLIENT_ID is required"}},
		"wrong secret":         {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=HIDE", nil, azureaccess.CodeSignIn, []string{"AADSTS7000215", "application {APP}", "the secret's value, not its id"}},
		"unknown application":  {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID=nobody\nAZURE_CLIENT_SECRET=HIDE", nil, azureaccess.CodeSignIn, []string{"AADSTS700016"}},
		"certificate":          {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_CERTIFICATE=HIDE", nil, azureaccess.CodeCredentialsFile, []string{"AZURE_CLIENT_CERTIFICATE", "PEM"}},
		"user":                 {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_USERNAME=me\nAZURE_PASSWORD=HIDE", nil, azureaccess.CodeCredentialsFile, []string{"AZURE_USERNAME is not supported"}},
		"cloud":                {"AZURE_CLOUD_NAME=invalid", nil, azureaccess.CodeCloud, []string{`unknown cloud: "invalid"`}},
		"key for a cloud":      {"AZURE_CLOUD_NAME=HIDE+HIDE==", nil, azureaccess.CodeCloud, []string{"unknown cloud"}},
		"line":                 {"AZURE_CLIENT_ID={APP}\n\noops HIDE", nil, azureaccess.CodeCredentialsFile, []string{"line 3"}},
		"federation":           {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}", map[string]string{"AZURE_FEDERATED_TOKEN_FILE": testfile.Write(t, "HIDE")}, azureaccess.CodeFederation, []string{"AADSTS700213", "system:serviceaccount:openshift-adp:velero"}},
		"managed identity":     {"AZURE_CLIENT_ID=gone", map[string]string{"IDENTITY_ENDPOINT": empty, "IDENTITY_HEADER": "header"}, azureaccess.CodeManagedIdentity, []string{"Identity not found", "managed identity", "gone"}},
		"no identity":          {"AZURE_TENANT_ID={TENANT}", nil, azureaccess.CodeCredentialsFile, []string{"neither a client secret"}},
		"application of env":   {"AZURE_SUBSCRIPTION_ID=s", map[string]string{"AZURE_FEDERATED_TOKEN_FILE": testfile.Write(t, "HIDE"), "AZURE_TENANT_ID": "{TENANT}", "AZURE_CLIENT_ID": "{APP}"}, azureaccess.CodeCredentialsFile, []string{"is required"}},
		"token of another pod": {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_FEDERATED_TOKEN_FILE=/var/run/secrets/kubernetes.io/serviceaccount/token", nil, credpolicy.Refused, []string{"AZURE_FEDERATED_TOKEN_FILE"}},
		"file of another":      {"AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_CERTIFICATE_PATH=/credentials-azure/cloud", nil, credpolicy.Refused, []string{"AZURE_CLIENT_CERTIFICATE_PATH"}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := *w
			inner.t = t
			for variable, value := range c.env {
				t.Setenv(variable, fill.Replace(value))
			}
			began := time.Now()
			token, err := inner.token(fill.Replace(c.file), true)
			if err == nil {
				_, err = token.Retrieve(t.Context(), scope)
			}
			if !errors.Is(err, c.code) {
				t.Fatalf("error: %v", err)
			}
			for _, words := range append(c.says, "; fix: ") {
				if !strings.Contains(err.Error(), fill.Replace(words)) {
					t.Errorf("%q is not in: %v", fill.Replace(words), err)
				}
			}
			if strings.Contains(err.Error(), "HIDE") || strings.Contains(err.Error(), "----") {
				t.Errorf("error: %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// The location of a user without rights over the cluster gets nothing but what the
// user knows: not the identity of Velero's pod, no file of it, and no other service
// than Azure's.
func TestLocationsOfUsers(t *testing.T) {
	w := newWorld(t)
	app := w.AddApp(azurefake.App{})
	w.Trust("the pod's token", app.ClientID)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", testfile.Write(t, "the pod's token"))
	secret := "AZURE_TENANT_ID=" + w.Tenant + "\nAZURE_CLIENT_ID=" + w.app.ClientID + "\nAZURE_CLIENT_SECRET=s3cret\n"
	for name, c := range map[string]struct {
		file   string
		access azureaccess.Access
	}{
		"pod's token":           {"AZURE_TENANT_ID=" + w.Tenant + "\nAZURE_CLIENT_ID=" + app.ClientID, azureaccess.Access{}},
		"token file":            {secret + "AZURE_FEDERATED_TOKEN_FILE=/var/run/secrets/openshift/serviceaccount/token", azureaccess.Access{}},
		"file of another":       {secret + "AZURE_CLIENT_CERTIFICATE_PATH=/credentials-azure/cloud", azureaccess.Access{}},
		"login service":         {secret, azureaccess.Access{Authority: w.login}},
		"resource manager":      {secret, azureaccess.Access{Manager: "https://management.azure.com.example.com"}},
		"audience":              {secret, azureaccess.Access{ManagerAudience: "https://vault.azure.net"}},
		"no instance discovery": {secret, azureaccess.Access{DisableInstanceDiscovery: true}},
	} {
		// Velero writes the secret that the self-service controller has copied there.
		path := filepath.Join(t.TempDir(), "shop-minio-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a-cloud")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		c.access.CredentialsFile = path
		id, err := c.access.Identity(t.Context())
		if err == nil {
			_, err = id.Token(w.client)
		}
		if !errors.Is(err, credpolicy.Refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := w.Calls(""); len(calls) > 0 {
		t.Errorf("requests: %+v", calls)
	}
}

// The token of the pod is read for each request, since Kubernetes replaces it.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	app := w.AddApp(azurefake.App{TokenLife: time.Minute}) // shorter than the SDK keeps a token for
	w.Trust("first", app.ClientID)
	path := testfile.Write(t, "first")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", path)
	token, err := w.token(fmt.Sprintf("AZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s", w.Tenant, app.ClientID), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Retrieve(t.Context(), scope); err != nil {
		t.Fatal(err)
	}
	w.Expire("first")
	w.Trust("second", app.ClientID)
	if err := os.WriteFile(path, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Retrieve(t.Context(), "https://storage.azure.com/.default"); err != nil {
		t.Error(err)
	}
}

func TestClouds(t *testing.T) {
	for name, want := range map[string]string{
		"": "blob.core.windows.net", "AZURECLOUD": "blob.core.windows.net", "AZUREPUBLICCLOUD": "blob.core.windows.net", "azurecloud": "blob.core.windows.net",
		"AZURECHINACLOUD": "blob.core.chinacloudapi.cn", "AZUREUSGOVERNMENT": "blob.core.usgovcloudapi.net", "AZUREUSGOVERNMENTCLOUD": "blob.core.usgovcloudapi.net",
	} {
		if c, ok := azureaccess.CloudOf(name); !ok || c.BlobSuffix != want {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if _, ok := azureaccess.CloudOf("invalid"); ok {
		t.Error("an unknown cloud is known")
	}
}

// A request is made again when the service asks for a pause or breaks off, and not
// when it refuses.
func TestAttempts(t *testing.T) {
	w := newWorld(t)
	manager, _ := fakecloud.ServeTLS(t, w.ResourceManager())
	access := azureaccess.Access{
		Authority: w.login, Manager: manager, ManagerAudience: "https://management.azure.com", DisableInstanceDiscovery: true,
		CredentialsFile: testfile.Write(t, fmt.Sprintf("AZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret", w.Tenant, w.app.ClientID)),
	}
	id, err := access.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := id.Manager(w.client)
	if err != nil {
		t.Fatal(err)
	}
	disk := w.AddDisk("g", "d", azurefake.Disk{})
	get := func(ctx context.Context) error {
		var answer struct{ Name string }
		_, err := m.Send(ctx, http.MethodGet, disk+"?api-version=2025-01-02", nil, &answer)
		if err == nil && answer.Name != "d" {
			err = fmt.Errorf("answer %+v", answer)
		}
		return azureaccess.ManagerFault("error reading disk d", err)
	}
	read := azurefake.Actions("Microsoft.Compute/disks/read")
	w.Inject(1, read, azurefake.Throttle(10*time.Millisecond))
	w.Inject(1, read, inject.Drop())
	if err := get(t.Context()); err != nil {
		t.Error(err)
	}
	w.Forget()
	w.Deny("Microsoft.Compute/disks/read")
	err = get(t.Context())
	if !errors.Is(err, azureaccess.CodeDenied) || !strings.Contains(err.Error(), "a role with the action Microsoft.Compute/disks/read on /subscriptions/") {
		t.Errorf("error: %v", err)
	}
	if calls := w.Calls("Microsoft.Compute/disks/read"); len(calls) != 1 {
		t.Errorf("%d requests", len(calls))
	}
}

// No service that hands out tokens, and not the resource manager either, can send the
// plugin on to another server, which would get a secret or a token.
func TestRedirectionsAreRefused(t *testing.T) {
	for name, credentials := range map[string]string{
		"client secret":    "AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=s3cret\n",
		"managed identity": "AZURE_CLIENT_ID={APP}\n",
		"resource manager": "AZURE_TENANT_ID={TENANT}\nAZURE_CLIENT_ID={APP}\nAZURE_CLIENT_SECRET=s3cret\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var reached atomic.Int32
			other := fakecloud.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
			redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
			})
			service, ca := fakecloud.ServeTLS(t, redirect)
			transport, err := endpoint.NewTransport(endpoint.Trust{Unverified: []string{"127.0.0.1"}, CACert: string(ca)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(transport.CloseIdleConnections)
			t.Setenv("IDENTITY_ENDPOINT", fakecloud.Serve(t, redirect))
			t.Setenv("IDENTITY_HEADER", "header")
			t.Setenv("AZURE_CREDENTIALS_FILE", testfile.Write(t, strings.NewReplacer("{TENANT}", w.Tenant, "{APP}", w.app.ClientID).Replace(credentials)))
			access := azureaccess.Access{Authority: service, DisableInstanceDiscovery: true}
			if name == "resource manager" {
				access.Authority, access.Manager, access.ManagerAudience = w.login, service, "https://management.azure.com"
			}
			id, err := access.Identity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if name == "resource manager" {
				manager, err := id.Manager(transport.Client())
				if err != nil {
					t.Fatal(err)
				}
				_, err = manager.Send(t.Context(), http.MethodGet, "/subscriptions/s?api-version=2025-01-02", nil, nil)
				wantRedirect(t, err, other)
			} else {
				token, err := id.Token(transport.Client())
				if err != nil {
					t.Fatal(err)
				}
				_, err = token.Retrieve(t.Context(), scope)
				wantRedirect(t, err, other)
			}
			if n := reached.Load(); n > 0 {
				t.Errorf("the other server got %d requests", n)
			}
		})
	}
}

func wantRedirect(t *testing.T, err error, to string) {
	t.Helper()
	if !errors.Is(err, endpoint.CodeRedirect) || !strings.Contains(err.Error(), to) {
		t.Errorf("no error of a redirection to %s: %v", to, err)
	}
}
