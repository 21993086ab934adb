package azureaccess

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// credentialTime bounds a request for a token.
const credentialTime = 30 * time.Second

// Token is an identity of Microsoft Entra ID, which gets tokens for requests.
type Token struct {
	azcore.TokenCredential
	// Kind is "client secret", "client certificate", "workload identity" or
	// "managed identity".
	Kind     string
	TenantID string // "" for a managed identity
	ClientID string // "" for the identity that the machine has by itself
}

// String describes the identity: "client secret of application ID in tenant ID".
func (t *Token) String() string {
	switch {
	case t.TenantID != "":
		return t.Kind + " of application " + t.ClientID + " in tenant " + t.TenantID
	case t.ClientID != "":
		return "user-assigned managed identity with the client id " + t.ClientID
	}
	return "system-assigned managed identity of the machine"
}

// Token returns the identity that counts. It asks no service:
//
//   - a client secret of the credentials, or a certificate in them, or a file with
//     one;
//   - else the token of the pod's service account (workload identity), with the
//     tenant and the application of the credentials;
//   - else the managed identity of AZURE_CLIENT_ID.
//
// A location without a credential of its own can also have tenant and application
// from the environment, and the machine's own managed identity.
func (id Identity) Token(client *http.Client) (*Token, error) {
	t, err := id.token(client)
	if err != nil {
		var known *fault.Error
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, &fault.Error{Code: CodeCredentialsFile, What: "error using the identity in " + id.source, Err: err}
	}
	t.TokenCredential = explained{t.TokenCredential, t}
	return t, nil
}

func (id Identity) token(client *http.Client) (*Token, error) {
	e := id.entries
	options := azcore.ClientOptions{
		Cloud:     id.Cloud.with(id.access.Authority, id.access.Manager, id.access.ManagerAudience),
		Transport: withoutRedirects(client),
		// The service answers at once or not at all; somebody waits for the error.
		Retry: policy.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 5 * time.Second},
	}
	tenants := strings.FieldsFunc(string(e[allowedTenants]), func(r rune) bool { return r == ';' || r == ' ' })
	t := &Token{TenantID: string(e[tenantID]), ClientID: string(e[clientID])}
	var err error
	switch {
	case e[clientSecret] != "":
		t.Kind = "client secret"
		if err := id.complete(); err != nil {
			return nil, err
		}
		t.TokenCredential, err = azidentity.NewClientSecretCredential(t.TenantID, t.ClientID, string(e[clientSecret]), &azidentity.ClientSecretCredentialOptions{
			ClientOptions: options, AdditionallyAllowedTenants: tenants, DisableInstanceDiscovery: id.access.DisableInstanceDiscovery,
		})
		return t, err
	case e[certificate] != "" || e[certPath] != "":
		t.Kind = "client certificate"
		if err := id.complete(); err != nil {
			return nil, err
		}
		certs, key, err := id.readCertificate()
		if err != nil {
			return nil, err
		}
		t.TokenCredential, err = azidentity.NewClientCertificateCredential(t.TenantID, t.ClientID, certs, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, AdditionallyAllowedTenants: tenants, DisableInstanceDiscovery: id.access.DisableInstanceDiscovery,
			SendCertificateChain: slices.Contains([]string{"1", "true"}, strings.ToLower(string(e[sendCertChain]))),
		})
		return t, err
	case e[userName] != "":
		return nil, &fault.Error{
			Code: CodeCredentialsFile, What: "error using the identity in " + id.source, Err: errors.New(userName + " is not supported: users sign in with a second factor"),
			Fix: "use an application: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
		}
	}
	if err := credpolicy.CheckPodIdentity(id.author, id.source); err != nil {
		return nil, err
	}
	own := id.author != credpolicy.Administrator
	file := cmp.Or(string(e[credfile.AzureFederatedTokenFile]), os.Getenv(credfile.AzureFederatedTokenFile))
	if file == "" {
		if own && t.ClientID == "" {
			// The machine's own identity is Velero's, not one that the location names.
			return nil, &fault.Error{
				Code: CodeCredentialsFile, What: "error using the identity in " + id.source,
				Err: errors.New("it has neither a client secret, nor a certificate, nor the AZURE_CLIENT_ID of a managed identity"),
			}
		}
		t.Kind, t.TenantID = "managed identity", ""
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if t.ClientID != "" {
			managed.ID = azidentity.ClientID(t.ClientID)
		}
		t.TokenCredential, err = azidentity.NewManagedIdentityCredential(managed)
		return t, err
	}
	t.Kind = "workload identity"
	if !own {
		t.TenantID, t.ClientID = cmp.Or(t.TenantID, os.Getenv(tenantID)), cmp.Or(t.ClientID, os.Getenv(clientID))
	}
	for name, value := range map[string]string{tenantID: t.TenantID, clientID: t.ClientID} {
		if value == "" {
			return nil, &fault.Error{Code: CodeCredentialsFile, What: "error using the workload identity", Err: errors.New(name + " is required"), Fix: id.MissingCredential(name)}
		}
	}
	// The file is read for each token: Kubernetes replaces it long before it ends.
	read := func(ctx context.Context) (string, error) {
		data, err := credfile.ReadFile(ctx, file, nil)
		return strings.TrimSpace(string(data)), err
	}
	t.TokenCredential, err = azidentity.NewClientAssertionCredential(t.TenantID, t.ClientID, read, &azidentity.ClientAssertionCredentialOptions{
		ClientOptions: options, AdditionallyAllowedTenants: tenants, DisableInstanceDiscovery: id.access.DisableInstanceDiscovery,
	})
	return t, err
}

// withoutRedirects returns a client that fails an answer which redirects: the server
// that it names would receive secrets, or the tokens of requests.
func withoutRedirects(client *http.Client) *http.Client {
	c := *client
	c.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		err := endpoint.RefuseRedirect(to, via)
		if redirect, ok := to.Context().Value(redirectKey{}).(*error); ok {
			*redirect = err
		}
		return nonRetriable{err}
	}
	return &c
}

// redirectKey is the key of a context's *error, which is set to that of a redirection.
// The SDK returns errors that do not wrap it.
type redirectKey struct{}

// complete reports what an application lacks.
func (id Identity) complete() error {
	for _, name := range []string{tenantID, clientID} {
		if id.entries[name] == "" {
			return &fault.Error{Code: CodeCredentialsFile, What: "error reading " + id.source, Err: errors.New(name + " is required"), Fix: id.MissingCredential(name)}
		}
	}
	return nil
}

// readCertificate returns the certificate of the credentials, which counts before
// the one of a file, and its key.
func (id Identity) readCertificate() ([]*x509.Certificate, crypto.PrivateKey, error) {
	data, entry := []byte(id.entries[certificate]), certificate
	if len(data) == 0 {
		entry = certPath
		path := string(id.entries[certPath])
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, nil, &fault.Error{Code: CodeCredentialsFile, What: "error reading the file of " + certPath, Err: err}
		}
	}
	var password []byte
	if p := id.entries[certPassword]; p != "" {
		password = []byte(p)
	}
	certs, key, err := azidentity.ParseCertificates(data, password)
	if err != nil {
		// The error of a parser may quote what it parses.
		return nil, nil, &fault.Error{
			Code: CodeCredentialsFile, What: "error reading the certificate in " + entry + " of " + id.source,
			Err: errors.New("it is neither PEM with a certificate and its key nor PKCS#12, or the password is wrong"),
			Fix: "give the certificate and its RSA key in PEM, with \\n for each line end, or the path of a PEM or PKCS#12 file; the password is " + certPassword,
		}
	}
	return certs, key, nil
}

// explained is a credential whose errors say whose it is, and that no request
// waits for without end.
type explained struct {
	azcore.TokenCredential
	token *Token
}

// GetToken implements azcore.TokenCredential.
func (c explained) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	limited, cancel := context.WithTimeout(ctx, credentialTime)
	defer cancel()
	var redirect error
	token, err := c.TokenCredential.GetToken(context.WithValue(limited, redirectKey{}, &redirect), options)
	switch {
	case err == nil || ctx.Err() != nil:
	case redirect != nil:
		err = nonRetriable{fmt.Errorf("error signing in with the %s: %w", c.token, redirect)}
	default:
		err = signInFault(c.token, err)
	}
	return token, err
}

// Retrieve requests a token for a scope, such as https://storage.azure.com/.default,
// and names the identity.
func (t *Token) Retrieve(ctx context.Context, scope string) (found string, err error) {
	_, err = t.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		return "", fmt.Errorf("error getting a token for %s: %w", strings.TrimSuffix(scope, "/.default"), err)
	}
	return t.String(), nil
}
