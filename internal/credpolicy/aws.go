package credpolicy

// AWS has the settings of a profile in a credentials file of AWS, and of the
// profiles that it takes its credentials from.
var AWS = Table{
	Instead: "aws_access_key_id and aws_secret_access_key",
	Settings: []Setting{
		{Name: "credential_process", Does: "runs a command in Velero's container"},
		{Name: "credential_source", Does: "uses the identity of Velero's pod or node"},
		{Name: "web_identity_token_file", Does: "sends a file of Velero's container to a token service", IsHarmless: isTokenFile},
		{Name: "services", Does: "redirects requests with credentials to another server"},
		{Name: "endpoint_url", Does: "redirects requests with credentials to another server"},
		{Name: "ec2_metadata_service_endpoint", Does: "redirects requests for credentials to another server"},
		{Name: "ca_bundle", Does: "reads a file of Velero's container"},
		{Name: "sso_session", Does: "reads cached tokens in Velero's container"},
		{Name: "sso_start_url", Does: "reads cached tokens in Velero's container"},
		{Name: "login_session", Does: "reads cached tokens in Velero's container"},
	},
}

// AWSConfig has the keys of a location's config that name secrets and files other
// than the location's own credential.
var AWSConfig = Table{
	UsersOnly: true,
	Settings: []Setting{
		{Name: "customerKeyEncryptionFile", Does: "reads a file of Velero's container and sends it to the store"},
		{Name: "customerKeyEncryptionSecret", Does: "reads a secret of Velero's namespace and sends it to the store"},
	},
}
