package credfile

import (
	"fmt"
	"slices"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// AWS is one profile of an AWS credentials or config file. It is complete: it
// has static keys, or a role with a token file, or a delegation.
type AWS struct {
	Profile string

	AccessKeyID     string
	SecretAccessKey Sensitive
	SessionToken    Sensitive

	RoleARN              string
	RoleSessionName      string
	WebIdentityTokenFile string

	// Delegation names the setting by which the profile gets credentials from
	// elsewhere, such as source_profile or credential_process. Only an AWS SDK
	// that reads the whole file can follow it.
	Delegation string

	Region string
}

// The settings that delegate, in the order in which AWS SDKs look at them.
var delegations = []string{"source_profile", "credential_source", "sso_session", "sso_start_url", "credential_process"}

// ReadAWS returns the profile of the given name from a shared credentials file
// or config file. Sections may be headed [name] or [profile name]; where both
// set something, [name] counts.
func ReadAWS(data []byte, profile string) (*AWS, error) {
	f := readINI(data)
	settings, ok := f.profile(profile)
	if !ok {
		if f.badLine > 0 {
			return nil, malformed("line %d of the AWS credentials file is neither [profile] nor key = value, and there is no profile %q", f.badLine, profile)
		}
		return nil, &fault.Error{Code: ProfileMissing, What: fmt.Sprintf("the AWS credentials file has no profile %q; profiles in it: %q", profile, f.names())}
	}
	a := &AWS{
		Profile:              profile,
		AccessKeyID:          settings["aws_access_key_id"],
		SecretAccessKey:      Sensitive(settings["aws_secret_access_key"]),
		SessionToken:         Sensitive(settings["aws_session_token"]),
		RoleARN:              settings["role_arn"],
		RoleSessionName:      settings["role_session_name"],
		WebIdentityTokenFile: settings["web_identity_token_file"],
		Region:               settings["region"],
	}
	if i := slices.IndexFunc(delegations, func(name string) bool { return settings[name] != "" }); i >= 0 {
		a.Delegation = delegations[i]
	}
	if missing := a.missing(); missing != "" {
		if f.badLine > 0 {
			return nil, malformed("line %d of the AWS credentials file is neither [profile] nor key = value, and profile %q has no %s", f.badLine, profile, missing)
		}
		return nil, incomplete("profile %q of the AWS credentials file has no %s", profile, missing)
	}
	return a, nil
}

// HasKeys reports whether the profile has static keys.
func (a *AWS) HasKeys() bool { return a.AccessKeyID != "" && a.SecretAccessKey != "" }

// HasRole reports whether the profile has a role that a token file opens.
func (a *AWS) HasRole() bool { return a.RoleARN != "" && a.WebIdentityTokenFile != "" }

// missing returns the names of settings that are missing, or "" for a complete
// profile.
func (a *AWS) missing() string {
	switch {
	case a.HasKeys(), a.HasRole(), a.Delegation != "":
		return ""
	case a.AccessKeyID != "":
		return "aws_secret_access_key"
	case a.SecretAccessKey != "":
		return "aws_access_key_id"
	case a.RoleARN != "":
		return "web_identity_token_file beside its role_arn"
	case a.WebIdentityTokenFile != "":
		return "role_arn beside its web_identity_token_file"
	}
	return "aws_access_key_id and aws_secret_access_key, nor role_arn and web_identity_token_file"
}
