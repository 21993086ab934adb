package awsaccess

import (
	"cmp"
	"os"
)

// FallbackRegion is what requests are signed for when nothing names a region.
// Other servers than AWS accept it, as it is the default of most clients.
const FallbackRegion = "us-east-1"

// EnvironmentRegion returns the region that the environment or the profile of id
// names, or "".
func EnvironmentRegion(id Identity) string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), id.Region)
}
