package open

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// Config keys of locations of Azure that name entries of the credentials.
const (
	accountKeyEntry = "storageAccountKeyEnvVar"
	signatureEntry  = "storageAccountSASTokenEnvVar"
)

// openAzure opens a container of Azure Blob storage.
func openAzure(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (objectstore.BucketCloser, error) {
	config, given, err := azureConfig(ctx, found)
	if err != nil {
		return nil, err
	}
	store := azblob.New(log, azblob.WithMemory(bufferMemory), azblob.WithCredential(given))
	b := &bucket[azblob.Object]{store, found.Location, found.From, azblob.CodeDenied}
	if _, err := store.Init(ctx, sdk.InitInput{Config: config}); err != nil {
		store.Close()
		return nil, b.named(err)
	}
	return b, nil
}

// azureConfig returns the configuration for a location with the credential that was
// found, which is nil if the environment has it.
func azureConfig(ctx context.Context, found *registrysecret.Found) (map[string]string, *azureaccess.Given, error) {
	config := found.Location.InitConfig(found.CABundle)
	delete(config, location.CredentialsFileKey)
	given := &azureaccess.Given{From: found.From, Author: authorOf(found)}
	c := found.Credential
	text := []byte(c.Content)
	var err error
	switch {
	case found.Source == registrysecret.RegistrySecret:
		given.Entries = registryEntries(c.Azure, config)
		return config, given, nil
	case c.File != "":
		text, err = credfile.ReadFile(ctx, c.File, nil)
	case c.Content == "":
		return config, nil, nil // the environment, the pod or the machine
	}
	if err == nil {
		given.Entries, err = credfile.ReadEnv(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("error reading the credentials of %s: %w", found.From, err)
	}
	preferAccountKey(config, given.Entries)
	addTokenFile(config, given.Entries, c.Azure)
	return config, given, nil
}

// preferAccountKey selects the account's key if the credentials have one and the
// location asks for nothing else: images have always been stored with the key. The
// store by itself would look the key up.
func preferAccountKey(config map[string]string, entries map[string]credfile.Sensitive) {
	useAAD, _ := strconv.ParseBool(config["useAAD"]) // the store reports a wrong value
	if config[accountKeyEntry] == "" && config[signatureEntry] == "" && !useAAD && entries[credfile.AzureAccountKey] != "" {
		config[accountKeyEntry] = credfile.AzureAccountKey
	}
}

// addTokenFile adds the token of the pod that the finder has found, such as the one
// that OADP mounts without an entry that names it, if an identity is used.
func addTokenFile(config map[string]string, entries map[string]credfile.Sensitive, a *credfile.Azure) {
	if config[accountKeyEntry] == "" && config[signatureEntry] == "" && a.FederatedTokenFile != "" {
		entries[credfile.AzureFederatedTokenFile] = credfile.Sensitive(a.FederatedTokenFile)
	}
}

// registryEntries returns what a registry secret has as the entries of a credentials
// file, and changes the configuration to match: the secret never has a shared access
// signature, it may lack the account's key, and the key may be all that it has.
func registryEntries(a *credfile.Azure, config map[string]string) map[string]credfile.Sensitive {
	keyEntry := cmp.Or(config[accountKeyEntry], credfile.AzureAccountKey)
	entries := map[string]credfile.Sensitive{
		keyEntry:                a.AccountKey,
		"AZURE_TENANT_ID":       credfile.Sensitive(a.TenantID),
		"AZURE_CLIENT_ID":       credfile.Sensitive(a.ClientID),
		"AZURE_CLIENT_SECRET":   a.ClientSecret,
		"AZURE_SUBSCRIPTION_ID": credfile.Sensitive(a.SubscriptionID),
		"AZURE_RESOURCE_GROUP":  credfile.Sensitive(a.ResourceGroup),
		"AZURE_CLOUD_NAME":      credfile.Sensitive(a.CloudName),
	}
	maps.DeleteFunc(entries, func(_ string, value credfile.Sensitive) bool { return value == "" })
	delete(config, signatureEntry)
	switch {
	case a.AccountKey == "":
		delete(config, accountKeyEntry)
	case !a.HasServicePrincipal() && !a.HasWorkloadIdentity():
		config[accountKeyEntry] = keyEntry
	default:
		preferAccountKey(config, entries)
	}
	addTokenFile(config, entries, a)
	return entries
}

// ambientAzure looks for an identity in the environment, the pod and the machine.
func ambientAzure(ctx context.Context, l *location.Location) error {
	return azblob.Ambient(ctx, l.InitConfig(""))
}
