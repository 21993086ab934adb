package credpolicy

import (
	"path/filepath"
	"regexp"

	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// Author is who wrote a credential and the location that uses it.
type Author int

const (
	// Administrator sets up Velero's pod: its environment, the files mounted into
	// it, and the default secret of the provider.
	Administrator Author = iota
	// LocationOwner writes the credential that a location names. That is an
	// administrator in most clusters, but not in all.
	LocationOwner
	// User has a location through OADP's self-service (NonAdminBackupStorageLocation)
	// and no rights over the cluster.
	User
)

// nonAdminSecret matches the name of a secret that the self-service controller
// copies from the namespace of a user, with the dash before the key. It ends with a
// UUID: "shop-minio-5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a-cloud". Users have no part
// in that name.
var nonAdminSecret = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(-|$)`)

// OfFile returns the author of the credentials file that a location's config names,
// as Velero writes it for spec.credential:
// /tmp/credentials/openshift-adp/SECRET-KEY. Velero tells a plugin nothing else of
// the location that its credential is from, neither labels nor annotations.
func OfFile(path string) Author {
	if nonAdminSecret.MatchString(filepath.Base(path)) {
		return User
	}
	return LocationOwner
}

// Labels and annotations by which the self-service controller marks what it makes
// for a user.
const (
	ManagedByNonAdmin           = "oadp-nac-controller" // value of location.ManagedByLabel
	NonAdminLabel               = "openshift.io/oadp-nabsl-origin-nacuuid"
	NonAdminNamespaceAnnotation = "openshift.io/oadp-nabsl-origin-namespace"
)

// OfLocation returns the author of a location's own credential.
func OfLocation(l *location.Location) Author {
	switch {
	case l.Labels[location.ManagedByLabel] == ManagedByNonAdmin, l.Labels[NonAdminLabel] != "":
		return User
	case l.Credential != nil && nonAdminSecret.MatchString(l.Credential.Name):
		return User
	}
	return LocationOwner
}
