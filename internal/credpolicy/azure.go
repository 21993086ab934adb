package credpolicy

import (
	"net/url"
	"slices"
	"strings"
)

// Azure has the entries of a credentials file of Azure.
var Azure = Table{
	Instead: "an account key, or AZURE_CLIENT_SECRET with AZURE_TENANT_ID and AZURE_CLIENT_ID",
	Settings: []Setting{
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Does: "sends a file of Velero's container to a token service", IsHarmless: isTokenFile},
		{Name: "AZURE_CLIENT_CERTIFICATE_PATH", Does: "reads a file of Velero's container"},
		{Name: "AZURE_AUTHORITY_HOST", Does: "sends credentials to another server than Microsoft's", IsHarmless: isAzureAuthority},
	},
}

// AzureConfig has the keys of a location's config that decide to whom credentials
// and tokens are sent.
var AzureConfig = Table{
	UsersOnly: true,
	Settings: []Setting{
		{Name: "activeDirectoryAuthorityURI", Does: "sends credentials to another server than Microsoft's", IsHarmless: isAzureAuthority},
		{Name: "resourceManagerEndpoint", Does: "sends tokens to another server than Microsoft's", IsHarmless: isAzureManagement},
		{Name: "resourceManagerAudience", Does: "asks for tokens of another service"},
		{Name: "disableInstanceDiscovery", Does: "accepts another token service than Microsoft's", IsHarmless: isFalse},
	},
}

// azureAuthorities are the login hosts of the Azure clouds.
var azureAuthorities = []string{"login.microsoftonline.com", "login.chinacloudapi.cn", "login.partner.microsoftonline.cn", "login.microsoftonline.us"}

// azureManagement are the hosts of the resource managers of the Azure clouds.
var azureManagement = []string{"management.azure.com", "management.chinacloudapi.cn", "management.usgovcloudapi.net"}

func isAzureAuthority(_ Author, value string) bool { return isHTTPS(value, azureAuthorities) }

func isAzureManagement(_ Author, value string) bool { return isHTTPS(value, azureManagement) }

func isFalse(_ Author, value string) bool { return strings.EqualFold(value, "false") || value == "0" }

// isHTTPS reports whether value is an https URL of one of the hosts, at the default
// port and without a user.
func isHTTPS(value string, hosts []string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Scheme == "https" && u.User == nil && (u.Port() == "" || u.Port() == "443") &&
		slices.Contains(hosts, strings.ToLower(u.Hostname()))
}
