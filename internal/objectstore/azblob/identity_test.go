package azblob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

// account is a scene whose storage account belongs to a subscription, with an
// application that has a secret.
type account struct {
	*scene
	*azurefake.Cloud
	app azurefake.App
}

const group = "storage"

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{newScene(t, overTLS), azurefake.New(), azurefake.App{}}
	a.app = a.AddApp(azurefake.App{Secret: "s3cret"})
	a.AddAccount(group, azurefake.Account{Name: a.azurite.Account, Endpoint: a.endpoint, Keys: []azurefake.Key{
		{Name: "read", Value: "bm9uZQ==", Permissions: "Read"}, {Name: "key1", Value: a.azurite.Key, Permissions: "Full"},
	}})
	login, ca := fakecloud.ServeTLS(t, a.Login())
	manager, _ := fakecloud.ServeTLS(t, a.ResourceManager())
	delete(a.config, "storageAccountKeyEnvVar")
	delete(a.config, "storageAccountURI")
	for key, value := range map[string]string{
		"caCert": a.config["caCert"] + string(ca), "activeDirectoryAuthorityURI": login, "resourceManagerEndpoint": manager,
		"resourceManagerAudience": "https://management.azure.com", "disableInstanceDiscovery": "true",
		"credentialsFile": testfile.Write(t, a.credentials()),
	} {
		a.config[key] = value
	}
	return a
}

func (a *account) credentials() string {
	return fmt.Sprintf("AZURE_SUBSCRIPTION_ID=%s\nAZURE_RESOURCE_GROUP=%s\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\n",
		a.Subscription, group, a.Tenant, a.app.ClientID)
}

// Without a key in the credentials it is looked up, and so is the endpoint, each
// with one request.
func TestKeyIsLookedUp(t *testing.T) {
	a := newAccount(t)
	st := a.mustOpen()
	if err := st.put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if n, m := len(a.Calls("Microsoft.Storage/storageAccounts/listkeys/action")), len(a.Calls("Microsoft.Storage/storageAccounts/read")); n != 1 || m != 1 {
		t.Errorf("%d requests for keys, %d for the endpoint", n, m)
	}
	// The same configuration again needs none.
	if _, err := st.Init(t.Context(), sdk.InitInput{Config: a.config}); err != nil || len(a.Calls("")) != 3 {
		t.Errorf("%v, %d requests in all", err, len(a.Calls("")))
	}
	if strings.Contains(a.log.String(), a.azurite.Key) || strings.Contains(a.log.String(), "s3cret") {
		t.Error("a secret is in the log")
	}
}

// With a key or a shared access signature nobody is asked.
func TestInitWithKeyAsksNobody(t *testing.T) {
	a := newAccount(t)
	signature, err := a.sas()
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string][]string{
		"key": {"storageAccountKeyEnvVar", "KEY", "credentialsFile", testfile.Write(t, a.credentials()+"KEY="+a.azurite.Key)},
		"SAS": {"storageAccountSASTokenEnvVar", "SAS", "credentialsFile", testfile.Write(t, a.credentials()+"SAS="+signature)},
	} {
		a.mustOpen(config...)
		if calls := a.Calls(""); len(calls) > 0 {
			t.Errorf("%s: requests %+v", name, calls)
		}
	}
}

// With an identity the objects are read and written, also when its token ends in
// the middle, and a URL is signed for a plain client.
func TestIdentityForData(t *testing.T) {
	a := newAccount(t)
	st := a.mustOpen("useAAD", "true")
	body := random(9*blockSize + 1)
	if err := st.put(t.Context(), "k", stream(body)); err != nil {
		t.Fatal(err)
	}
	if got, err := st.get(t.Context(), "k"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := st.list(t.Context(), ""); err != nil || len(got) != 1 {
		t.Errorf("listed %q, %v", got, err)
	}
	if calls := a.Calls("Microsoft.Storage/storageAccounts/listkeys/action"); len(calls) > 0 {
		t.Error("the key was looked up")
	}
	address := signed(t, st, "k", time.Minute)
	if got := download(t, a.scene, address); got != string(body) {
		t.Errorf("by its URL: %.200s", got)
	}
	if got := download(t, a.scene, strings.Replace(address, "sp=r", "sp=rw", 1)); !strings.HasPrefix(got, "403") {
		t.Errorf("with another permission: %.200s", got)
	}
	if _, err := st.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: a.bucket, Key: "k", TTL: 8 * 24 * time.Hour}); err == nil {
		t.Error("a URL is signed for longer than Azure lets")
	}
}

// A token file that is replaced in the middle of an upload does not end it.
func TestTokenFileRotatesDuringUpload(t *testing.T) {
	a := newAccount(t)
	app := a.AddApp(azurefake.App{TokenLife: 6 * time.Minute}) // the SDK gets another one five minutes before the end
	a.Trust("first", app.ClientID)
	path := testfile.Write(t, "first")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", path)
	st := a.mustOpen("useAAD", "true", "storageAccountURI", a.endpoint,
		"credentialsFile", testfile.Write(t, fmt.Sprintf("\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\n", a.Tenant, app.ClientID)))
	body := random(8 * blockSize)
	reader := bytes.NewReader(body)
	err := st.put(t.Context(), "k", readerFunc(func(p []byte) (int, error) {
		if reader.Len() == len(body)/2 {
			a.Expire("first")
			a.Trust("second", app.ClientID)
			if err := os.WriteFile(path, []byte("second"), 0o600); err != nil {
				return 0, err
			}
		}
		return io.LimitReader(reader, blockSize).Read(p[:min(len(p), blockSize)])
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.read("k"), body) {
		t.Error("the object is another")
	}
	if calls := a.Calls("token"); calls[len(calls)-1].ClientID != app.ClientID {
		t.Errorf("calls: %+v", calls)
	}
}

// What the identity may not do is said with both ways out. A missing right to look
// at the account itself is no error.
func TestRightsThatAreMissing(t *testing.T) {
	a := newAccount(t)
	a.Deny("Microsoft.Storage/storageAccounts/listkeys/action")
	_, err := a.open()
	if !errors.Is(err, azureaccess.CodeDenied) {
		t.Errorf("error: %v", err)
	}
	says(t, "key", err, "failed to get storage account access key", "Microsoft.Storage/storageAccounts/listkeys/action", "useAAD", "storageAccountKeyEnvVar")

	b := newAccount(t)
	b.Deny("Microsoft.Storage/storageAccounts/read")
	st := b.mustOpen("useAAD", "true", "storageAccountURI", b.endpoint)
	if err := st.put(t.Context(), "k", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if strings.Contains(b.log.String(), "403") {
		t.Errorf("log: %s", b.log)
	}
	for name, c := range map[string]struct {
		drop string
		says string
	}{
		"group":        {"AZURE_RESOURCE_GROUP", "resourceGroup"},
		"subscription": {"AZURE_SUBSCRIPTION_ID", "subscriptionId"},
	} {
		var kept []string
		for line := range strings.Lines(b.credentials()) {
			if !strings.HasPrefix(line, c.drop) {
				kept = append(kept, line)
			}
		}
		_, err := b.open("credentialsFile", testfile.Write(t, strings.Join(kept, "")))
		says(t, name, err, "failed to get storage account access key", "set "+c.says, c.drop)
	}
}

// What is wrong with credentials is said with the entry and without a secret.
func TestUselessCredentials(t *testing.T) {
	s := newScene(t, overHTTP)
	for name, c := range map[string]struct {
		file, entry string
		code        fault.Code
		says        []string
	}{
		"no entry":       {"A=HIDE", "FOO", azureaccess.CodeCredentialsFile, []string{"no entry FOO", "add a line FOO="}},
		"empty entry":    {"FOO=", "FOO", azureaccess.CodeCredentialsFile, []string{"no entry FOO"}},
		"not base64":     {"FOO=HIDE!", "FOO", azblob.CodeAccountKey, []string{"FOO", "base64"}},
		"malformed line": {"FOO=x\noops HIDE", "FOO", azureaccess.CodeCredentialsFile, []string{"line 2"}},
	} {
		_, err := s.open("storageAccountKeyEnvVar", c.entry, "credentialsFile", testfile.Write(t, c.file))
		if !errors.Is(err, c.code) || strings.Contains(err.Error(), "HIDE") {
			t.Errorf("%s: %v", name, err)
		}
		says(t, name, err, append(c.says, "fix: ")...)
	}
	_, err := s.open("credentialsFile", "/absent/file")
	says(t, "absent file", err, "/absent/file", "fix: ")
	// The server of Velero drops credentialsFile from the configuration of users.
	_, err = s.open("credentialsFile", "")
	says(t, "no credentials at all", err, "set spec.credential of the location")
	if strings.Contains(s.log.String(), "HIDE") {
		t.Error("a secret is in the log")
	}
}

// The location of a user without rights over the cluster does not get at the blobs
// of others with the identity of Velero's pod.
func TestLocationOfUser(t *testing.T) {
	a := newAccount(t)
	app := a.AddApp(azurefake.App{})
	a.Trust("token", app.ClientID)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", testfile.Write(t, "token"))
	path := filepath.Join(t.TempDir(), "shop-location-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a-cloud")
	if err := os.WriteFile(path, fmt.Appendf(nil, "AZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\n", a.Tenant, app.ClientID), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := a.open("useAAD", "true", "storageAccountURI", a.endpoint, "credentialsFile", path,
		"activeDirectoryAuthorityURI", "", "resourceManagerEndpoint", "", "resourceManagerAudience", "", "disableInstanceDiscovery", "")
	if !errors.Is(err, credpolicy.Refused) || len(a.Calls("")) > 0 {
		t.Errorf("error: %v, requests %+v", err, a.Calls(""))
	}
}
