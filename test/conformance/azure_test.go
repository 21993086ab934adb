package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/fakecloud"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

const azurePlugin = "velero-plugin-for-microsoft-azure"

// TestAzure checks the object store with Azurite, over plain HTTP with the account's
// key and over TLS with tokens.
func TestAzure(t *testing.T) {
	t.Parallel()
	a, path := servers.Azurite(t), build(t, azurePlugin, "./plugins/azure")
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			t.Parallel()
			server := newBreakable(t, a, secure)
			config := azureConfig(t, a, server.address)
			client := http.DefaultClient
			if secure {
				config = azureTokenConfig(t, azurefake.New(), a, server)
				client = trusting(server.ca)
			}
			plugintest.Run(t, plugintest.Plugin{
				Path:       path,
				Env:        append(environment(t), "OADP_PLUGIN_STALL_TIMEOUT="+stallLimit.String()),
				StallLimit: stallLimit,
				Store: &plugintest.StoreConfig{
					Config: config, Bucket: a.NewContainer(t), LargeObject: 64 << 20, HTTPClient: client,
				},
				BreakBackend: server.breakDown,
			})
		})
	}
}

// breakable is Azurite behind a proxy that can fail.
type breakable struct {
	address string // of the account
	ca      []byte
	broken  atomic.Bool
}

func newBreakable(t *testing.T, a *stack.Azurite, secure bool) *breakable {
	t.Helper()
	endpoint := a.Endpoint
	if secure {
		endpoint = a.TLSEndpoint
	}
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	proxy.Transport = a.Transport()
	b := &breakable{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.broken.Load() {
			w.Header().Set("x-ms-error-code", "AccountIsDisabled")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	if secure {
		b.address, b.ca = fakecloud.ServeTLS(t, handler)
	} else {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		b.address = server.URL
	}
	b.address += target.Path
	return b
}

// breakDown lets the server fail from now on and recover again.
func (b *breakable) breakDown() (restore func()) {
	b.broken.Store(true)
	return func() { b.broken.Store(false) }
}

// azureConfig is the spec.config of a location with the account's key.
func azureConfig(t *testing.T, a *stack.Azurite, address string) map[string]string {
	t.Helper()
	return map[string]string{
		"storageAccount": a.Account, "storageAccountURI": address, "storageAccountKeyEnvVar": "AZURE_STORAGE_ACCOUNT_ACCESS_KEY",
		"credentialsFile": write(t, "azure", "AZURE_STORAGE_ACCOUNT_ACCESS_KEY="+a.Key+"\n"),
	}
}

// azureTokenConfig is the spec.config of a location with an application.
func azureTokenConfig(t *testing.T, cloud *azurefake.Cloud, a *stack.Azurite, server *breakable) map[string]string {
	t.Helper()
	config := azureManagerConfig(t, cloud, "storage")
	config["caCert"] += string(server.ca)
	config["storageAccount"], config["storageAccountURI"], config["useAAD"] = a.Account, server.address, "true"
	return config
}

// azureManagerConfig are the keys by which a location reaches the fakes of Azure,
// with the credentials of an application.
func azureManagerConfig(t *testing.T, cloud *azurefake.Cloud, group string) map[string]string {
	t.Helper()
	app := cloud.AddApp(azurefake.App{Secret: "s3cret"})
	login, ca := fakecloud.ServeTLS(t, cloud.Login())
	manager, _ := fakecloud.ServeTLS(t, cloud.ResourceManager())
	return map[string]string{
		"caCert": string(ca), "activeDirectoryAuthorityURI": login, "resourceManagerEndpoint": manager,
		"resourceManagerAudience": "https://management.azure.com", "disableInstanceDiscovery": "true",
		"credentialsFile": write(t, "azure", fmt.Sprintf("AZURE_SUBSCRIPTION_ID=%s\nAZURE_RESOURCE_GROUP=%s\nAZURE_TENANT_ID=%s\nAZURE_CLIENT_ID=%s\nAZURE_CLIENT_SECRET=s3cret\n",
			cloud.Subscription, group, cloud.Tenant, app.ClientID)),
	}
}

// TestAzureSnapshots checks the volume snapshotter with a fake of Azure Resource
// Manager, with two applications.
func TestAzureSnapshots(t *testing.T) {
	t.Parallel()
	cloud := azurefake.New()
	disk := cloud.AddDisk("nodes", "pvc-1", azurefake.Disk{})
	config := azureManagerConfig(t, cloud, "nodes")
	alternate := azureManagerConfig(t, cloud, "nodes")
	plugintest.Run(t, plugintest.Plugin{
		Path: build(t, azurePlugin, "./plugins/azure"),
		Env:  environment(t),
		Snapshotter: &plugintest.SnapshotterConfig{
			Config:           config,
			Alternate:        alternate,
			PersistentVolume: azureVolume(disk),
			VolumeID:         "pvc-1",
			Zone:             azurefake.Location + "-1",
			AbsentSnapshotID: strings.Replace(disk, "/disks/pvc-1", "/snapshots/absent", 1),
			DeleteVolume: func(_ context.Context, name string) error {
				cloud.RemoveDisk(name)
				return nil
			},
		},
		Skip: processRows(),
	})
	if left := cloud.Snapshots(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func azureVolume(disk string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv-1"},
		"spec":{"capacity":{"storage":"4Gi"},"accessModes":["ReadWriteOnce"],"csi":{"driver":"disk.csi.azure.com","volumeHandle":%q}}}`, disk))
}

// TestAzureByHand checks locations that work and that are broken in one place each,
// as an administrator does.
func TestAzureByHand(t *testing.T) {
	a, cloud := servers.Azurite(t), azurefake.New()
	plugin := build(t, azurePlugin, "./plugins/azure")
	check := func(kind string, config map[string]string, spec string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var text strings.Builder
		fmt.Fprintf(&text, "kind: %s\napiVersion: velero.io/v1\nmetadata: {name: default}\nspec:\n  provider: azure\n%s  config:\n", kind, spec)
		for key, value := range config {
			if key != "credentialsFile" {
				fmt.Fprintf(&text, "    %s: %q\n", key, value)
			}
		}
		command := exec.CommandContext(ctx, plugin, "check", "--location", write(t, "location.yaml", text.String()), "--credentials-file", config["credentialsFile"])
		command.Env = environment(t)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	storage := fmt.Sprintf("  objectStorage: {bucket: %s, prefix: velero}\n", a.NewContainer(t))
	out, err := check("BackupStorageLocation", azureConfig(t, a, a.Endpoint), storage)
	if err != nil || !strings.Contains(out, "the account key in AZURE_STORAGE_ACCOUNT_ACCESS_KEY") || !strings.Contains(out, "downloaded by a signed URL") {
		t.Errorf("works: %v, %s", err, out)
	}
	out, err = check("BackupStorageLocation", azureConfig(t, a, a.Endpoint), "  objectStorage: {bucket: lost}\n")
	if err == nil || !strings.Contains(out, "FAIL  container") || !strings.Contains(out, "AZBLOB_NO_SUCH_CONTAINER") {
		t.Errorf("without its container: %v, %s", err, out)
	}
	if strings.Contains(out, a.Key) {
		t.Error("the key is shown")
	}

	cloud.AddDisk("nodes", "pvc-1", azurefake.Disk{})
	config := azureManagerConfig(t, cloud, "nodes")
	out, err = check("VolumeSnapshotLocation", config, "")
	if err != nil || !strings.Contains(out, "client secret of application") || !strings.Contains(out, "can be read, made and deleted") {
		t.Errorf("works: %v, %s", err, out)
	}
	if n, m := len(cloud.Snapshots()), len(cloud.Disks()); n != 0 || m != 1 {
		t.Errorf("the check left %d snapshots and %d disks", n, m)
	}
	cloud.Deny("Microsoft.Compute/snapshots/write", "Microsoft.Compute/disks/delete")
	out, err = check("VolumeSnapshotLocation", config, "")
	for _, action := range []string{"Microsoft.Compute/snapshots/write", "Microsoft.Compute/disks/delete"} {
		if err == nil || !strings.Contains(out, "a role with the action "+action) {
			t.Errorf("without %s: %v, %s", action, err, out)
		}
	}
}
