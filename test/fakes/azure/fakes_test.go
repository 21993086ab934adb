package azurefake_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
)

// world is a cloud and a client of it with the SDK of Azure.
type world struct {
	*azurefake.Cloud
	app     azurefake.App
	options azcore.ClientOptions
	arm     *arm.Client
}

const scope = "https://management.azure.com/.default"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Cloud: azurefake.New()}
	w.app = w.AddApp(azurefake.App{Secret: "s3cret"})
	login, ca := fakecloud.ServeTLS(t, w.Login())
	manager, _ := fakecloud.ServeTLS(t, w.ResourceManager())
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca) // one certificate serves both
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	w.options = azcore.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: login,
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: manager, Audience: "https://management.azure.com"}},
		},
	}
	credential, err := w.secret(w.app.ClientID, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	w.arm, err = arm.NewClient("test", "v1.0.0", credential, &arm.ClientOptions{ClientOptions: w.options, DisableRPRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) secret(clientID, secret string) (azcore.TokenCredential, error) {
	return azidentity.NewClientSecretCredential(w.Tenant, clientID, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: w.options, DisableInstanceDiscovery: true})
}

// send makes a request to Azure Resource Manager and waits for what it begins.
func (w *world) send(ctx context.Context, method, path string, body any) (map[string]any, error) {
	request, err := runtime.NewRequest(ctx, method, w.arm.Endpoint()+path)
	if err != nil {
		return nil, err
	}
	query := request.Raw().URL.Query()
	query.Set("api-version", "2025-01-02")
	request.Raw().URL.RawQuery = query.Encode()
	if body != nil {
		if err := runtime.MarshalAsJSON(request, body); err != nil {
			return nil, err
		}
	}
	response, err := w.arm.Pipeline().Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 400 {
		return nil, runtime.NewResponseError(response)
	}
	if response.StatusCode != http.StatusAccepted {
		var got map[string]any
		err := json.NewDecoder(response.Body).Decode(&got)
		if response.StatusCode == http.StatusNoContent {
			err = nil
		}
		return got, err
	}
	poller, err := runtime.NewPoller[map[string]any](response, w.arm.Pipeline(), nil)
	if err != nil {
		return nil, err
	}
	for !poller.Done() {
		if _, err := poller.Poll(ctx); err != nil {
			return nil, err
		}
		w.Advance(time.Second)
	}
	return poller.Result(ctx)
}

// Applications sign in with each kind of credential, and with no wrong one.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "velero"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	certified := w.AddApp(azurefake.App{Certificate: certificate})
	federated := w.AddApp(azurefake.App{})
	w.Trust("the pod's token", federated.ClientID)
	assertion := func(clientID, token string) (azcore.TokenCredential, error) {
		return azidentity.NewClientAssertionCredential(w.Tenant, clientID, func(context.Context) (string, error) { return token, nil },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: w.options, DisableInstanceDiscovery: true})
	}
	withCertificate := func(clientID string) (azcore.TokenCredential, error) {
		return azidentity.NewClientCertificateCredential(w.Tenant, clientID, []*x509.Certificate{certificate}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: w.options, DisableInstanceDiscovery: true})
	}
	for name, c := range map[string]struct {
		credential func() (azcore.TokenCredential, error)
		want       string // in the error, "" for a token
	}{
		"secret":                      {func() (azcore.TokenCredential, error) { return w.secret(w.app.ClientID, "s3cret") }, ""},
		"wrong secret":                {func() (azcore.TokenCredential, error) { return w.secret(w.app.ClientID, "other") }, "AADSTS7000215"},
		"unknown application":         {func() (azcore.TokenCredential, error) { return w.secret("nobody", "s3cret") }, "AADSTS700016"},
		"certificate":                 {func() (azcore.TokenCredential, error) { return withCertificate(certified.ClientID) }, ""},
		"certificate of another":      {func() (azcore.TokenCredential, error) { return withCertificate(federated.ClientID) }, "AADSTS700213"},
		"federated token":             {func() (azcore.TokenCredential, error) { return assertion(federated.ClientID, "the pod's token") }, ""},
		"federated token of another":  {func() (azcore.TokenCredential, error) { return assertion(w.app.ClientID, "the pod's token") }, "AADSTS700213"},
		"federated token that is old": {func() (azcore.TokenCredential, error) { return assertion(federated.ClientID, "old") }, "AADSTS700213"},
	} {
		credential, err := c.credential()
		if err != nil {
			t.Fatal(err)
		}
		token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		if c.want == "" && (err != nil || token.Token == "") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestManagedIdentity(t *testing.T) {
	w := newWorld(t)
	system, user := w.AddApp(azurefake.App{}), w.AddApp(azurefake.App{})
	t.Setenv("IDENTITY_ENDPOINT", fakecloud.Serve(t, w.ManagedIdentity("the header", system.ClientID)))
	t.Setenv("IDENTITY_HEADER", "the header")
	for _, id := range []azidentity.ManagedIDKind{nil, azidentity.ClientID(user.ClientID), azidentity.ClientID("nobody")} {
		credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		_, err = credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		if unknown := id != nil && id.String() == "nobody"; (err != nil) != unknown || unknown && !strings.Contains(err.Error(), "Identity not found") {
			t.Errorf("%v: %v", id, err)
		}
	}
	if calls := w.Calls("token"); len(calls) != 3 || calls[1].ClientID != user.ClientID {
		t.Errorf("calls: %+v", calls)
	}
}

// A disk's snapshot becomes a disk, and is removed.
func TestDisksAndSnapshots(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.SetOperationTime(3 * time.Second)
	disk := w.AddDisk("nodes", "pvc-1", azurefake.Disk{Header: azurefake.Header{Tags: map[string]string{"a": "b"}}})
	snapshot := "/subscriptions/" + w.Subscription + "/resourceGroups/nodes/providers/Microsoft.Compute/snapshots/s"
	body := func(source string) map[string]any {
		return map[string]any{"location": azurefake.Location, "properties": map[string]any{"creationData": map[string]any{"createOption": "Copy", "sourceResourceId": source}}}
	}
	made, err := w.send(ctx, http.MethodPut, snapshot, body(disk))
	if err != nil || made["id"] != snapshot {
		t.Fatalf("%v, %v", made, err)
	}
	restored := strings.Replace(disk, "pvc-1", "restored", 1)
	if _, err := w.send(ctx, http.MethodPut, restored, body(snapshot)); err != nil {
		t.Fatal(err)
	}
	got, err := w.send(ctx, http.MethodGet, strings.ToUpper(restored[:20])+restored[20:], nil)
	if err != nil || fmt.Sprint(got["properties"].(map[string]any)["provisioningState"]) != "Succeeded" {
		t.Errorf("%v, %v", got, err)
	}
	for range 2 {
		if _, err := w.send(ctx, http.MethodDelete, snapshot, nil); err != nil {
			t.Error(err)
		}
	}
	if left := w.Snapshots(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.FailOperation("DiskEncryptionSetFailed", "no")
	if _, err := w.send(ctx, http.MethodPut, snapshot, body(disk)); err == nil || !strings.Contains(err.Error(), "DiskEncryptionSetFailed") {
		t.Errorf("error: %v", err)
	}
}

// What Azure refuses is refused.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	disk := w.AddDisk("nodes", "pvc-1", azurefake.Disk{})
	ultra := w.AddDisk("nodes", "pvc-2", azurefake.Disk{Header: azurefake.Header{SKU: &azurefake.SKU{Name: "UltraSSD_LRS"}}})
	snapshots := "/subscriptions/" + w.Subscription + "/resourceGroups/nodes/providers/Microsoft.Compute/snapshots/"
	type fields = map[string]any
	body := func(source string, more fields) fields {
		b := fields{"location": azurefake.Location, "properties": fields{"creationData": fields{"createOption": "Copy", "sourceResourceId": source}}}
		for name, value := range more {
			b[name] = value
		}
		return b
	}
	for name, c := range map[string]struct {
		name string
		body fields
		code string
	}{
		"long name":       {strings.Repeat("n", 81), body(disk, nil), "InvalidParameter"},
		"unknown field":   {"s", body(disk, fields{"colour": "red"}), "InvalidRequestContent"},
		"no such disk":    {"s", body(disk+"0", nil), "NotFound"},
		"other region":    {"s", body(disk, fields{"location": "eastus"}), "InvalidParameter"},
		"reserved tag":    {"s", body(disk, fields{"tags": fields{"Microsoft-x": "y"}}), "ReservedTagName"},
		"slash in a tag":  {"s", body(disk, fields{"tags": fields{"velero.io/backup": "y"}}), "InvalidTagNameCharacters"},
		"full of Ultra":   {"s", body(ultra, nil), "OperationNotAllowed"},
		"unknown type":    {"s", body(disk, fields{"sku": fields{"name": "Gold"}}), "InvalidParameter"},
		"not allowed":     {"denied", body(disk, nil), "AuthorizationFailed"},
		"tag is required": {"policy", body(disk, nil), "RequestDisallowedByPolicy"},
	} {
		switch c.name {
		case "denied":
			w.Deny("Microsoft.Compute/snapshots/write")
		case "policy":
			w.RequireTag("owner")
		}
		_, err := w.send(t.Context(), http.MethodPut, snapshots+c.name, c.body)
		var refused *azcore.ResponseError
		if !errors.As(err, &refused) || refused.ErrorCode != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if c.name == "denied" {
			w.Allow("Microsoft.Compute/snapshots/write")
		}
		w.RequireTag("")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.arm.Endpoint()+disk+"?api-version=2025-01-02", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := w.options.Transport.Do(request)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %v, %v", response, err)
	}
}
