// Package location knows what Velero's BackupStorageLocations and
// VolumeSnapshotLocations hold, and what of it reaches a plugin.
package location

import (
	"os"
	"path/filepath"

	"github.com/oadp-plugins/oadp-plugins/sdk/config"
)

// Keys that Velero adds to the config of a location before it calls Init.
const (
	BucketKey          = "bucket"          // spec.objectStorage.bucket
	PrefixKey          = "prefix"          // spec.objectStorage.prefix; object keys already begin with it
	CACertKey          = "caCert"          // the CA bundle as PEM text
	CredentialsFileKey = "credentialsFile" // path of a file with the content of spec.credential
)

// BackupKeys are the keys that Velero adds to the config of a
// BackupStorageLocation. An ObjectStore accepts them beside its own.
func BackupKeys() config.Keys {
	return config.Keys{
		config.String(BucketKey, "bucket or container, from spec.objectStorage").SetByVelero(),
		config.String(PrefixKey, "prefix, from spec.objectStorage; object keys already contain it").SetByVelero(),
		config.String(CACertKey, "CA bundle (PEM text), from spec.objectStorage.caCert or caCertRef").SetByVelero(),
		config.String(CredentialsFileKey, "path of the credentials file, from spec.credential").SetByVelero(),
	}
}

// SnapshotKeys are the keys that Velero adds to the config of a
// VolumeSnapshotLocation.
func SnapshotKeys() config.Keys {
	return config.Keys{
		config.String(CredentialsFileKey, "path of the credentials file, from spec.credential").SetByVelero(),
	}
}

// CredentialsFile returns the path at which Velero keeps a key of a credential
// secret, in this process's temporary directory.
func CredentialsFile(namespace, secret, key string) string {
	return filepath.Join(os.TempDir(), "credentials", namespace, secret+"-"+key)
}
