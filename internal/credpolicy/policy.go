package credpolicy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Variables of Velero's environment, with which an administrator allows more.
const (
	// AllowVariable has the names of settings, parted by commas:
	// "credential_process,customerKeyEncryptionSecret".
	AllowVariable = "OADP_ALLOW_IN_LOCATIONS"
	// TokenFilesVariable has paths of token files besides tokenFiles, parted by
	// commas: "/var/run/secrets/vault/token".
	TokenFilesVariable = "OADP_ALLOW_TOKEN_FILES"
)

// Refused is the code of the errors of this package.
var Refused = fault.Code{
	ID:      "CREDENTIALS_SOURCE_REFUSED",
	Meaning: "The credential or the config of a location names a source of credentials that only an administrator may use.",
	Fix:     "put keys into the secret of the location; an administrator allows a source with " + AllowVariable + " or " + TokenFilesVariable + " in the environment of Velero's pod",
}

// Codes lists the codes of this package.
var Codes = []fault.Code{Refused}

// Setting is an entry of a credentials file, or a key of a location's config, that
// does more than to hold a credential.
type Setting struct {
	Name string // "credential_process"
	Does string // what it would do, after the word "it": "runs a command in Velero's container"
	// IsHarmless reports values that need no permission of an administrator. nil
	// means that there are none.
	IsHarmless func(author Author, value string) bool
}

// Table has the settings of one kind of file or config.
type Table struct {
	// UsersOnly leaves out locations that are not a user's: their config is an
	// administrator's.
	UsersOnly bool
	Instead   string // what to give instead: "aws_access_key_id and aws_secret_access_key"
	Settings  []Setting
}

// Value is a setting that a credentials file or a config has.
type Value struct{ Name, Value string }

// Check returns an error for values that need a permission which the environment
// does not give. source is where they are, for the error: "profile default of
// secret shop/minio". The error repeats no value, as that may be a secret.
func (t Table) Check(author Author, source string, values ...Value) error {
	if author == Administrator || t.UsersOnly && author != User {
		return nil
	}
	for _, v := range values {
		i := slices.IndexFunc(t.Settings, func(s Setting) bool { return s.Name == v.Name })
		if i < 0 || v.Value == "" {
			continue
		}
		setting := t.Settings[i]
		if isAllowed(setting.Name) || setting.IsHarmless != nil && setting.IsHarmless(author, v.Value) {
			continue
		}
		return refuse(source, setting, t.Instead)
	}
	return nil
}

func refuse(source string, setting Setting, instead string) error {
	fix := allowWith(setting.Name)
	if instead != "" {
		fix = "give " + instead + "; " + fix
	}
	return &fault.Error{
		Code: Refused,
		What: fmt.Sprintf("%s has %s, which a location may not use since it %s", source, setting.Name, setting.Does),
		Fix:  fix,
	}
}

func allowWith(name string) string {
	return fmt.Sprintf("an administrator can allow it with %s=%s in the environment of Velero's pod", AllowVariable, name)
}

// PodIdentity is the name by which AllowVariable lets the locations of users use
// the identity of Velero's pod or of its node.
const PodIdentity = "podIdentity"

// CheckPodIdentity returns an error if a location of this author must not use the
// identity of Velero's pod or node, which is an administrator's.
func CheckPodIdentity(author Author, source string) error {
	if author != User || isAllowed(PodIdentity) {
		return nil
	}
	return &fault.Error{
		Code: Refused,
		What: source + " would use the identity of Velero's pod or node, which the location of a user may not",
		Fix:  "put keys into the secret of the location; " + allowWith(PodIdentity),
	}
}

func isAllowed(name string) bool { return slices.Contains(list(AllowVariable), name) }

// list returns the values of a variable, which commas part.
func list(variable string) []string {
	var values []string
	for v := range strings.SplitSeq(os.Getenv(variable), ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// tokenFiles are the projected tokens of the pod that clouds take for an identity.
// The token of the service account for the Kubernetes API is not among them.
var tokenFiles = []string{
	"/var/run/secrets/openshift/serviceaccount/token",         // OADP, for all clouds
	"/var/run/secrets/eks.amazonaws.com/serviceaccount/token", // IAM roles for service accounts
	"/var/run/secrets/azure/tokens/azure-identity-token",      // Azure workload identity
}

// tokenVariables name a token file, as the webhooks of the clouds set them.
var tokenVariables = []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"}

// isTokenFile reports whether a location may send a file to the token service of
// its cloud. A user may not: the token is the pod's identity, so that a role of the
// administrator's would open the buckets of others.
func isTokenFile(author Author, path string) bool {
	if author == User {
		return false
	}
	allowed := slices.Concat(tokenFiles, list(TokenFilesVariable))
	for _, variable := range tokenVariables {
		if p := os.Getenv(variable); p != "" {
			allowed = append(allowed, p)
		}
	}
	return filepath.Clean(path) == path && slices.Contains(allowed, path)
}
