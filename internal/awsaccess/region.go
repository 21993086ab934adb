package awsaccess

import (
	"cmp"
	"os"
)

// FallbackRegion is the region for which requests are signed when nothing names
// one. Servers other than AWS accept it, since most clients use it by default.
const FallbackRegion = "us-east-1"

// EnvironmentRegion returns the region that the environment or the profile of id
// names, or "".
func EnvironmentRegion(id Identity) string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), id.Region)
}
