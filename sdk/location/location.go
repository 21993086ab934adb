package location

import (
	"maps"
	"strings"
)

// The kinds of location.
const (
	BackupStorage  = "BackupStorageLocation"
	VolumeSnapshot = "VolumeSnapshotLocation"
)

// The API group of the locations.
const apiGroup = "velero.io"

// Labels of BackupStorageLocations in an OADP installation.
const (
	// ComponentLabel has the value ComponentBSL on the locations for which the
	// OADP operator makes a registry secret.
	ComponentLabel = "app.kubernetes.io/component"
	ComponentBSL   = "bsl"
	// ManagedByLabel tells who made a location.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedByOADP  = "oadp-operator"
	// OADPLabel is on all objects of an OADP installation, with the value "True".
	OADPLabel = "openshift.io/oadp"
	// RegistryLabel tells whether images can be kept in a location: "True" or
	// "False".
	RegistryLabel = "openshift.io/oadp-registry"
)

// Location is a BackupStorageLocation or a VolumeSnapshotLocation.
type Location struct {
	Kind      string // BackupStorage or VolumeSnapshot
	Namespace string // may be empty in a file
	Name      string
	Labels    map[string]string

	// Provider is as written; PluginName returns the name in full.
	Provider   string
	Credential *SecretKey // spec.credential
	Config     map[string]string

	// The rest is for a BackupStorageLocation only.

	Bucket    string // without slashes around it
	Prefix    string // without slashes around it
	CACert    string // PEM text
	CACertRef *SecretKey
}

// SecretKey selects one key of a secret in the namespace of the location.
type SecretKey struct {
	Name string
	Key  string
}

// String returns "secret/key".
func (k SecretKey) String() string { return k.Name + "/" + k.Key }

// PluginName returns the name under which Velero looks for the location's
// plugin: the provider, with "velero.io/" in front unless it has a domain.
func (l *Location) PluginName() string {
	if l.Provider == "" || strings.Contains(l.Provider, "/") {
		return l.Provider
	}
	return apiGroup + "/" + l.Provider
}

// ProviderKind returns the provider without "velero.io/": "aws" for both
// spellings. A provider of another domain is returned in full.
func (l *Location) ProviderKind() string {
	return strings.TrimPrefix(l.Provider, apiGroup+"/")
}

// InitConfig returns the config map that Velero hands to the plugin's Init for
// this location. bundle is the content of CACertRef, which takes precedence
// over CACert; without a CACertRef it has no effect.
func (l *Location) InitConfig(bundle string) map[string]string {
	m := make(map[string]string, len(l.Config)+4)
	maps.Copy(m, l.Config)
	if l.Kind == BackupStorage {
		m[BucketKey], m[PrefixKey] = l.Bucket, l.Prefix
		switch {
		case l.CACertRef != nil:
			m[CACertKey] = bundle
		case l.CACert != "":
			m[CACertKey] = l.CACert
		}
	}
	if c := l.Credential; c != nil {
		m[CredentialsFileKey] = CredentialsFile(l.Namespace, c.Name, c.Key)
	}
	return m
}
