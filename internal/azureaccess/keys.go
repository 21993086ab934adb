package azureaccess

import (
	"net/url"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Keys are the configuration keys by which a location reaches Azure, whether it
// is for backups or for snapshots.
func Keys() config.Keys {
	return config.Keys{
		config.URL("activeDirectoryAuthorityURI", "address of the login service").Note("that of AZURE_CLOUD_NAME"),
		config.URL("resourceManagerEndpoint", "address of Azure Resource Manager in a private cloud").Note("that of AZURE_CLOUD_NAME"),
		config.String("resourceManagerAudience", "audience of the tokens for Azure Resource Manager in a private cloud").Note("that of AZURE_CLOUD_NAME"),
		config.Bool("disableInstanceDiscovery", "trust activeDirectoryAuthorityURI without asking Microsoft for it, in a private cloud"),
	}
}

// AccessOf returns what the keys of a location say of its identity.
func AccessOf(v config.Values) Access {
	return Access{
		CredentialsFile:          v.String("credentialsFile"),
		Authority:                address(v.URL("activeDirectoryAuthorityURI")),
		Manager:                  address(v.URL("resourceManagerEndpoint")),
		ManagerAudience:          v.String("resourceManagerAudience"),
		DisableInstanceDiscovery: v.Bool("disableInstanceDiscovery"),
	}
}

func address(u *url.URL) string {
	if u == nil {
		return ""
	}
	return strings.TrimRight(u.String(), "/")
}

// RegionKey explains to people who come from other clouds that there is no key
// region.
const RegionKey = "there is no key region, since Azure takes the region from the storage account and the resource group"
