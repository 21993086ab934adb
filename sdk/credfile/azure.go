package credfile

// Names of entries in Azure credentials.
const (
	AzureAccountKey         = "AZURE_STORAGE_ACCOUNT_ACCESS_KEY"
	AzureFederatedTokenFile = "AZURE_FEDERATED_TOKEN_FILE"
)

// Azure holds the credentials of an Azure storage account and the identity that
// can be used in place of its key.
type Azure struct {
	AccountKey Sensitive
	// SASToken is a shared access signature of the container. AzureFrom leaves it
	// empty, since only the config of a location names its entry.
	SASToken Sensitive

	TenantID                  string
	ClientID                  string
	ClientSecret              Sensitive
	ClientCertificate         Sensitive
	ClientCertificatePath     string
	ClientCertificatePassword Sensitive
	FederatedTokenFile        string

	SubscriptionID string
	ResourceGroup  string
	CloudName      string
}

// AzureFrom picks the credentials out of the entries of a file. accountKey is
// the name of the entry with the account's key, AzureAccountKey when empty.
func AzureFrom(entries map[string]Sensitive, accountKey string) *Azure {
	if accountKey == "" {
		accountKey = AzureAccountKey
	}
	return &Azure{
		AccountKey:                entries[accountKey],
		TenantID:                  string(entries["AZURE_TENANT_ID"]),
		ClientID:                  string(entries["AZURE_CLIENT_ID"]),
		ClientSecret:              entries["AZURE_CLIENT_SECRET"],
		ClientCertificate:         entries["AZURE_CLIENT_CERTIFICATE"],
		ClientCertificatePath:     string(entries["AZURE_CLIENT_CERTIFICATE_PATH"]),
		ClientCertificatePassword: entries["AZURE_CLIENT_CERTIFICATE_PASSWORD"],
		FederatedTokenFile:        string(entries[AzureFederatedTokenFile]),
		SubscriptionID:            string(entries["AZURE_SUBSCRIPTION_ID"]),
		ResourceGroup:             string(entries["AZURE_RESOURCE_GROUP"]),
		CloudName:                 string(entries["AZURE_CLOUD_NAME"]),
	}
}

// HasServicePrincipal reports whether there is an application with a secret or
// a certificate.
func (a *Azure) HasServicePrincipal() bool {
	return a.TenantID != "" && a.ClientID != "" &&
		(a.ClientSecret != "" || a.ClientCertificate != "" || a.ClientCertificatePath != "")
}

// HasWorkloadIdentity reports whether there is an application that a token file
// opens.
func (a *Azure) HasWorkloadIdentity() bool {
	return a.TenantID != "" && a.ClientID != "" && a.FederatedTokenFile != ""
}

// HasManagedIdentity reports whether there is the client id of a managed identity,
// and nothing of an application.
func (a *Azure) HasManagedIdentity() bool {
	return a.ClientID != "" && a.TenantID == "" && a.ClientSecret == "" && a.ClientCertificate == "" && a.ClientCertificatePath == ""
}

// Check returns an error unless the credentials open something.
func (a *Azure) Check() error {
	if a.AccountKey != "" || a.SASToken != "" || a.HasManagedIdentity() || a.HasServicePrincipal() || a.HasWorkloadIdentity() {
		return nil
	}
	return incomplete("the Azure credentials have no account key, no service principal (AZURE_TENANT_ID, AZURE_CLIENT_ID " +
		"and AZURE_CLIENT_SECRET), no managed identity (AZURE_CLIENT_ID alone) and no workload identity (AZURE_TENANT_ID, AZURE_CLIENT_ID and " + AzureFederatedTokenFile + ")")
}
