package credpolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// GCP has the fields of a credentials file of Google, by their path in the JSON
// document: "credential_source.file". Those below source_credentials, the
// credentials by which others are impersonated, have the same names.
var GCP = Table{
	Instead: "the JSON key of a service account",
	Settings: []Setting{
		{Name: "type", Does: "is a type of credentials that is not known here", IsHarmless: isGoogleType},
		{Name: "credential_source.executable", Does: "runs a command in Velero's container"},
		{Name: "credential_source.file", Does: "sends a file of Velero's container to a token service", IsHarmless: isTokenFile},
		{Name: "credential_source.url", Does: "fetches a token from any server within reach of Velero's pod"},
		{Name: "credential_source.environment_id", Does: "uses the identity of Velero's node"},
		{Name: "credential_source.region_url", Does: "sends requests to any server within reach of Velero's pod"},
		{Name: "credential_source.regional_cred_verification_url", Does: "sends requests to any server within reach of Velero's pod"},
		{Name: "credential_source.imdsv2_session_token_url", Does: "sends requests to any server within reach of Velero's pod"},
		{Name: "credential_source.certificate", Does: "reads files of Velero's container"},
		{Name: "token_url", Does: "sends tokens to another server than Google's", IsHarmless: isGoogle("sts")},
		{Name: "token_info_url", Does: "sends tokens to another server than Google's", IsHarmless: isGoogle("sts")},
		{Name: "revoke_url", Does: "sends tokens to another server than Google's", IsHarmless: isGoogle("sts")},
		{Name: "service_account_impersonation_url", Does: "sends tokens to another server than Google's", IsHarmless: isGoogle("iamcredentials")},
		{Name: "token_uri", Does: "sends signed requests for tokens to another server than Google's", IsHarmless: isGoogle("oauth2")},
		{Name: "universe_domain", Does: "sends credentials to another cloud than Google's", IsHarmless: isGoogleUniverse},
		{Name: "ca_cert_path", Does: "reads a file of Velero's container"},
	},
}

// googleTypes are the types of credentials whose fields are in the table.
var googleTypes = []string{"service_account", "external_account", "authorized_user", "impersonated_service_account", "external_account_authorized_user"}

func isGoogleType(_ Author, value string) bool { return slices.Contains(googleTypes, value) }

func isGoogleUniverse(_ Author, value string) bool { return value == "googleapis.com" }

// isGoogle returns a function that reports the URLs of one of Google's services:
// https://sts.googleapis.com and, for a region, https://sts.europe-west1.rep.googleapis.com.
func isGoogle(service string) func(Author, string) bool {
	host := regexp.MustCompile(`^https://` + service + `(\.mtls|\.[a-z0-9-]+\.rep)?\.googleapis\.com(:443)?(/[^\\]*)?$`)
	return func(_ Author, value string) bool {
		return host.MatchString(value) || service == "oauth2" && value == "https://accounts.google.com/o/oauth2/token"
	}
}

// maxDepth bounds how deeply a credentials file may be nested: source_credentials
// within source_credentials.
const maxDepth = 8

// GCPValues returns the fields of a credentials file of Google. Google's libraries
// take names in upper and lower case and, of fields that stand twice, one or the
// other; so all of them are returned, in lower case.
func GCPValues(data []byte) ([]Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var values []Value
	if err := gcpValues(d, nil, 0, &values); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the JSON document is followed by more text")
	}
	return values, nil
}

func gcpValues(d *json.Decoder, path []string, depth int, values *[]Value) error {
	if depth > maxDepth {
		return fmt.Errorf("the JSON document is nested more than %d times", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return errors.New("it is not a JSON document") // the decoder's own words would repeat a part of it
	}
	delim, isDelim := token.(json.Delim)
	if !isDelim {
		if token != nil {
			*values = append(*values, Value{gcpName(path), fmt.Sprint(token)})
		}
		return nil
	}
	// That there is an object or a list is a value too: credential_source.executable
	// has no text of its own.
	*values = append(*values, Value{gcpName(path), delim.String()})
	for d.More() {
		name := path
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return errors.New("it is not a JSON document")
			}
			name = append(slices.Clip(path), folded(key.(string)))
		}
		if err := gcpValues(d, name, depth+1, values); err != nil {
			return err
		}
	}
	_, err = d.Token()
	if err != nil {
		return errors.New("it is not a JSON document")
	}
	return nil
}

// gcpName returns the name of a field by its path, without the credentials that it
// is nested in.
func gcpName(path []string) string {
	for len(path) > 1 && path[0] == "source_credentials" {
		path = path[1:]
	}
	return strings.Join(path, ".")
}

// folded returns a name as Google's libraries compare it: they take "TYPE" and even
// "ſervice", with the letter that is an S in upper case, for the same.
func folded(name string) string { return strings.ToLower(strings.ToUpper(name)) }
