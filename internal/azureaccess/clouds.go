package azureaccess

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

// Cloud is one of Azure's clouds, which are apart from each other.
type Cloud struct {
	Name       string // as AZURE_CLOUD_NAME spells it: AzureCloud
	BlobSuffix string // of the names of storage accounts: blob.core.windows.net

	configuration cloud.Configuration
}

// DefaultBlobEndpoint is the address of an account's blobs, unless the account
// has another one: https://account.blob.core.windows.net/
func (c Cloud) DefaultBlobEndpoint(account string) string {
	return "https://" + account + "." + c.BlobSuffix + "/"
}

// clouds are the known ones, the public one first, with the names that
// AZURE_CLOUD_NAME has for them.
var clouds = []struct {
	names []string
	cloud Cloud
}{
	{[]string{"", "AzureCloud", "AzurePublicCloud"}, Cloud{"AzureCloud", "blob.core.windows.net", cloud.AzurePublic}},
	{[]string{"AzureChinaCloud"}, Cloud{"AzureChinaCloud", "blob.core.chinacloudapi.cn", cloud.AzureChina}},
	{[]string{"AzureUSGovernment", "AzureUSGovernmentCloud"}, Cloud{"AzureUSGovernment", "blob.core.usgovcloudapi.net", cloud.AzureGovernment}},
}

// CloudOf returns the cloud of a name, in upper or lower case; "" is the public
// cloud.
func CloudOf(name string) (Cloud, bool) {
	for _, c := range clouds {
		if slices.ContainsFunc(c.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return c.cloud, true
		}
	}
	return Cloud{}, false
}

// with returns the addresses of the cloud, in which those of a private cloud
// count where they are given.
func (c Cloud) with(authority, manager, managerAudience string) cloud.Configuration {
	own := c.configuration.Services[cloud.ResourceManager]
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: cmp.Or(authority, c.configuration.ActiveDirectoryAuthorityHost),
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {
			Endpoint: cmp.Or(strings.TrimRight(manager, "/"), own.Endpoint),
			Audience: cmp.Or(managerAudience, own.Audience),
		}},
	}
}
