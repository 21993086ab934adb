package credfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GCP is a Google credentials file.
type GCP struct {
	JSON        Sensitive // the whole file, for Google's libraries
	Type        string    // one of the types that they know
	ProjectID   string
	ClientEmail string
}

// What each type of Google credentials needs.
var googleTypes = map[string][]string{
	"service_account":                  {"client_email", "private_key"},
	"external_account":                 {"audience", "subject_token_type", "token_url", "credential_source"},
	"authorized_user":                  {"client_id", "client_secret", "refresh_token"},
	"impersonated_service_account":     {"service_account_impersonation_url", "source_credentials"},
	"external_account_authorized_user": {"refresh_token", "token_url"},
}

// ReadGCP reads a Google credentials file.
func ReadGCP(data []byte) (*GCP, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, malformed("the Google credentials are not a JSON object (%s)", jsonProblem(data, err))
	}
	kind, ok := fields["type"].(string)
	if !ok || kind == "" {
		return nil, malformed(`field "type" of the Google credentials is missing or not a string`)
	}
	needed, ok := googleTypes[kind]
	if !ok {
		return nil, malformed(`field "type" of the Google credentials is none of %s`, strings.Join(googleTypeNames(), ", "))
	}
	var missing []string
	for _, name := range needed {
		if v := fields[name]; v == nil || v == "" {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return nil, incomplete("the Google credentials of type %s have no %s", kind, strings.Join(missing, ", "))
	}
	g := &GCP{JSON: Sensitive(data), Type: kind}
	g.ProjectID, _ = fields["project_id"].(string)
	g.ClientEmail, _ = fields["client_email"].(string)
	return g, nil
}

// jsonProblem says where JSON is wrong without any of it.
func jsonProblem(data []byte, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := min(int(syntax.Offset), len(data))
		return fmt.Sprintf("line %d", 1+bytes.Count(data[:at], []byte("\n")))
	}
	return "wrong type"
}

func googleTypeNames() []string {
	var names []string
	for name := range googleTypes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
