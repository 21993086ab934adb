package open

import (
	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// authorOf returns who wrote the credential that was found for a location. One that
// the location does not name is from the environment or the default secret.
func authorOf(found *registrysecret.Found) credpolicy.Author {
	l := found.Location
	if l.Credential == nil && l.Config[location.CredentialsFileKey] == "" {
		return credpolicy.Administrator
	}
	return credpolicy.OfLocation(l)
}
