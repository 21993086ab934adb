// Package credpolicy decides which sources of credentials a location may use.
//
// OADP lets users without rights over the cluster bring a backup storage location
// of their own, whose secret and config they write. Velero's pod reads them with
// the rights of an administrator. A credentials file can do far more than hold
// keys: credential_process of AWS runs a command, credential_source.file of Google
// reads any file and posts it to any URL. So a location's own credential may hold
// keys, or a role that one of the projected tokens of the pod opens, and nothing
// else, unless an administrator allows it in the environment of Velero's pod:
//
//	OADP_ALLOW_IN_LOCATIONS=credential_process,endpoint_url
//	OADP_ALLOW_TOKEN_FILES=/var/run/secrets/vault/token
//
// What the environment itself names, and what the default secret holds, is an
// administrator's and not restricted. The tables of settings are in aws.go,
// azure.go and gcp.go.
package credpolicy
