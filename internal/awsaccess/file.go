package awsaccess

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// credentialsFile is a credentials file that was read, once: the SDK gets its
// content and not its path, so that what was checked is what counts. The SDK reads
// it as credentials and as configuration; both [name] and [profile name] are found.
type credentialsFile struct {
	name    string // its path, or where it is from in words; "" for no file
	content []byte // text in UTF-8
}

// open returns the paths of the configuration and of the credentials that the SDK
// is to read. They are valid until done is called.
func (id *Identity) open() (configFiles, credFiles []string, done func(), err error) {
	if id.file.name == "" {
		return id.configFiles, id.credFiles, func() {}, nil
	}
	path, done, err := memoryFile(id.file.content)
	return []string{path}, []string{path}, done, err
}

// named returns an error of the SDK with the name of the file in place of the path.
func (f credentialsFile) named(err error, path string) error {
	if err == nil || f.name == "" {
		return err
	}
	return endpoint.WithText(strings.ReplaceAll(err.Error(), path, f.name), err)
}

// load reads the profile and notes its region and what it was read from.
func (id *Identity) load(ctx context.Context) (awsconfig.SharedConfig, error) {
	configFiles, credFiles, done, err := id.open()
	if err != nil {
		return awsconfig.SharedConfig{}, err
	}
	defer done()
	sum := sha256.New()
	for _, file := range slices.Concat(configFiles, credFiles) {
		data, err := os.ReadFile(file)
		if err == nil {
			sum.Write(data)
		}
	}
	sum.Sum(id.Content[:0])
	p, err := awsconfig.LoadSharedConfigProfile(ctx, id.profile, func(o *awsconfig.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = configFiles, credFiles
	})
	id.Region, id.role, id.web = p.Region, p.RoleARN, webIdentityOf(&p)
	if !id.Pinned && id.web.tokenFile == "" {
		id.web = environmentWebIdentity()
	}
	return p, id.file.named(err, configFiles[0])
}

func isAbsent(err error) bool {
	var absent awsconfig.SharedConfigProfileNotExistError
	return errors.As(err, &absent) || errors.Is(err, fs.ErrNotExist)
}

// hasCredentials reports whether a profile says anything about credentials.
func hasCredentials(p *awsconfig.SharedConfig) bool {
	return p.Credentials.HasKeys() || p.RoleARN != "" || p.SourceProfileName != "" || hasSource(p)
}

// hasSource reports whether a profile gets credentials from somewhere else than
// the file.
func hasSource(p *awsconfig.SharedConfig) bool {
	return p.CredentialSource != "" || p.WebIdentityTokenFile != "" || p.SSOSessionName != "" || p.SSOStartURL != "" ||
		p.LoginSession != "" || p.CredentialProcess != ""
}

// isComplete reports whether the credentials of a profile begin in the file. The
// SDK turns to the identity of the pod or machine otherwise.
func isComplete(p *awsconfig.SharedConfig) bool {
	if p.Source != nil {
		return isComplete(p.Source)
	}
	return p.Credentials.HasKeys() || hasSource(p) && (p.WebIdentityTokenFile == "" || p.RoleARN != "")
}

// settingsOf returns the settings of a profile that package credpolicy knows, and
// those of the profiles that its credentials come from. It reads what the SDK has
// understood, so that no way of writing a setting hides it.
func settingsOf(p *awsconfig.SharedConfig) []credpolicy.Value {
	var values []credpolicy.Value
	for ; p != nil; p = p.Source {
		services := p.ServicesSectionName
		if len(p.Services.ServiceValues) > 0 {
			services = "set"
		}
		values = append(values,
			credpolicy.Value{Name: "credential_process", Value: p.CredentialProcess},
			credpolicy.Value{Name: "credential_source", Value: p.CredentialSource},
			credpolicy.Value{Name: "web_identity_token_file", Value: p.WebIdentityTokenFile},
			credpolicy.Value{Name: "services", Value: services},
			credpolicy.Value{Name: "endpoint_url", Value: p.BaseEndpoint},
			credpolicy.Value{Name: "ec2_metadata_service_endpoint", Value: p.EC2IMDSEndpoint},
			credpolicy.Value{Name: "ca_bundle", Value: p.CustomCABundle},
			credpolicy.Value{Name: "sso_session", Value: p.SSOSessionName},
			credpolicy.Value{Name: "sso_start_url", Value: p.SSOStartURL},
			credpolicy.Value{Name: "login_session", Value: p.LoginSession},
		)
	}
	return values
}

// sections names the profiles of a credentials file, and nothing else of it.
func (f credentialsFile) sections() string {
	var names []string
	for section := range f.lines() {
		if !slices.Contains(names, section) && section != "" {
			names = append(names, section)
		}
	}
	if len(names) == 0 {
		return "the file has no section such as [default]"
	}
	return "the file has " + strings.Join(names, " ")
}

// entryName is what the name of a setting looks like. Whatever else stands before
// an equals sign may be a part of a secret.
var entryName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,30}$`)

// entries names the settings of a profile, and nothing else of it.
func (f credentialsFile) entries(profile string) string {
	var names []string
	for section, line := range f.lines() {
		name, _, isEntry := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if (section == "["+profile+"]" || section == "[profile "+profile+"]") && isEntry && entryName.MatchString(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "the profile has no entries"
	}
	return "the profile has " + strings.Join(names, ", ")
}

// lines yields each line with the header of its section: "[default]".
func (f credentialsFile) lines() func(yield func(section, line string) bool) {
	return func(yield func(section, line string) bool) {
		section := ""
		for line := range strings.Lines(string(f.content)) {
			line = strings.TrimSpace(line)
			if end := strings.IndexByte(line, ']'); strings.HasPrefix(line, "[") && end > 0 {
				section = "[" + strings.TrimSpace(line[1:end]) + "]"
				line = ""
			}
			if !yield(section, line) {
				return
			}
		}
	}
}
