package azureaccess

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Access says where a location takes its identity from. The environment of the
// process is read and never changed, since other locations share it.
type Access struct {
	Given           *Given // nil for none
	CredentialsFile string // "" for that of AZURE_CREDENTIALS_FILE

	// Addresses of a private cloud, "" for those of the cloud that the credentials
	// name.
	Authority, Manager, ManagerAudience string
	DisableInstanceDiscovery            bool
}

// Identity is the outcome of Access: the entries of the credentials and the cloud
// that they are for.
type Identity struct {
	Cloud        Cloud
	Subscription string // AZURE_SUBSCRIPTION_ID
	Group        string // AZURE_RESOURCE_GROUP
	Warnings     []string
	Content      [sha256.Size]byte // digest of the entries and of the environment's

	access  Access
	source  string // where the entries are from, in words
	author  credpolicy.Author
	entries map[string]credfile.Sensitive
}

// credentialsFileEnv names the file for locations without a credential of their
// own.
const credentialsFileEnv = "AZURE_CREDENTIALS_FILE"

// Names of entries of credentials files beside those of package credfile, and of
// variables of the environment.
const (
	tenantID       = "AZURE_TENANT_ID"
	clientID       = "AZURE_CLIENT_ID"
	clientSecret   = "AZURE_CLIENT_SECRET"
	certificate    = "AZURE_CLIENT_CERTIFICATE"
	certPath       = "AZURE_CLIENT_CERTIFICATE_PATH"
	certPassword   = "AZURE_CLIENT_CERTIFICATE_PASSWORD"
	sendCertChain  = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"
	allowedTenants = "AZURE_ADDITIONALLY_ALLOWED_TENANTS"
	userName       = "AZURE_USERNAME"
	cloudName      = "AZURE_CLOUD_NAME"
)

// Identity reads the credentials of a location. It asks no service.
func (a Access) Identity(ctx context.Context) (Identity, error) {
	id := Identity{access: a}
	if err := id.read(ctx); err != nil {
		return Identity{}, err
	}
	if err := id.checkSources(); err != nil {
		return Identity{}, err
	}
	id.Subscription, id.Group = string(id.entries["AZURE_SUBSCRIPTION_ID"]), string(id.entries["AZURE_RESOURCE_GROUP"])
	name := string(id.entries[cloudName])
	var known bool
	if id.Cloud, known = CloudOf(name); !known {
		return Identity{}, &fault.Error{
			Code: CodeCloud, What: "error reading " + id.source,
			Err: fmt.Errorf("unknown cloud: %s", shown(name)),
		}
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(id.entries)) {
		fmt.Fprintf(sum, "%q=%q\n", name, string(id.entries[name]))
	}
	for _, name := range []string{tenantID, clientID, credfile.AzureFederatedTokenFile, "IDENTITY_ENDPOINT", "MSI_ENDPOINT"} {
		fmt.Fprintf(sum, "%q=%q\n", name, os.Getenv(name))
	}
	sum.Sum(id.Content[:0])
	return id, nil
}

// read gets the entries of the credentials.
func (id *Identity) read(ctx context.Context) error {
	path := cmp.Or(id.access.CredentialsFile, os.Getenv(credentialsFileEnv))
	switch {
	case id.access.Given != nil:
		id.source, id.author, id.entries = id.access.Given.From, id.access.Given.Author, id.access.Given.Entries
		return nil
	case path == "":
		id.source = "the environment"
		return nil
	}
	id.source = "credentials file " + path
	if id.access.CredentialsFile != "" {
		id.author = credpolicy.OfFile(path)
	}
	// A file without entries may be one that Velero is writing just now.
	_, err := credfile.ReadFile(ctx, path, func(text []byte) (err error) {
		id.entries, err = credfile.ReadEnv(text)
		if err == nil && len(id.entries) == 0 {
			err = errEmpty
		}
		return err
	})
	if err != nil && !errors.Is(err, errEmpty) {
		return &fault.Error{Code: CodeCredentialsFile, What: "error reading " + id.source, Err: err}
	}
	return nil
}

// errEmpty reports a file without entries.
var errEmpty = errors.New("there are no entries")

// HasEntries reports whether there are credentials at all, besides what the pod
// and the machine have.
func (id Identity) HasEntries() bool { return len(id.entries) > 0 }

// Entry returns an entry of the credentials, "" when there is none.
func (id Identity) Entry(name string) credfile.Sensitive { return id.entries[name] }

// Source says in words where the credentials are from.
func (id Identity) Source() string { return id.source }

// MissingCredential is the fix for a location that lacks an entry: Velero reads
// credentials from the secret of spec.credential, and from the default secret.
func (id Identity) MissingCredential(entry string) string {
	if id.HasEntries() {
		return "add a line " + entry + "=... to the secret with the credentials"
	}
	return "set spec.credential of the location to a secret with a line " + entry + "=..."
}

// Text of an entry that may be shown: users put keys where names belong.
func shown(text string) string {
	if len(text) > 40 || strings.ContainsAny(text, "=+/") {
		return "(a value that is not shown)"
	}
	return strconv.Quote(text)
}

// checkSources refuses sources that only an administrator may use: the location
// may be written by somebody without rights over the cluster.
func (id Identity) checkSources() error {
	var entries []credpolicy.Value
	for _, name := range slices.Sorted(maps.Keys(id.entries)) {
		entries = append(entries, credpolicy.Value{Name: name, Value: string(id.entries[name])})
	}
	if err := credpolicy.Azure.Check(id.author, id.source, entries...); err != nil {
		return err
	}
	config := []credpolicy.Value{
		{Name: "activeDirectoryAuthorityURI", Value: id.access.Authority},
		{Name: "resourceManagerEndpoint", Value: id.access.Manager},
		{Name: "resourceManagerAudience", Value: id.access.ManagerAudience},
	}
	if id.access.DisableInstanceDiscovery {
		config = append(config, credpolicy.Value{Name: "disableInstanceDiscovery", Value: "true"})
	}
	return credpolicy.AzureConfig.Check(id.author, "the config of the location", config...)
}
