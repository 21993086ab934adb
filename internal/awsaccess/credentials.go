package awsaccess

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// credentialTime bounds the first request for credentials.
const credentialTime = 30 * time.Second

// credentialMargin is how long before their end credentials are renewed.
const credentialMargin = 5 * time.Minute

// Access says where a location takes its credentials from. The environment of
// the process is read and never changed, since other locations share it.
type Access struct {
	Given           *Given // nil for none
	CredentialsFile string // "" for the environment's
	Profile         string // "" for AWS_PROFILE, AWS_DEFAULT_PROFILE or default
}

// Identity is the outcome of Access: the files and the profile that count.
type Identity struct {
	Region   string // of the profile, "" when it has none
	Warnings []string
	Content  [sha256.Size]byte // digest of the files
	Pinned   bool              // the profile counts, whatever the environment holds

	description string
	profile     string
	empty       bool // the profile has no credentials
	role        string
	web         webIdentity
	configFiles []string
	credFiles   []string
	given       givenFile               // in place of the files
	keys        aws.CredentialsProvider // in place of what the files say, nil for none
}

// Identity decides which source of credentials counts. It reads files and the
// environment, but asks no service:
//
//   - A given credential counts alone.
//   - So does a credentials file, with its profile.
//   - So does a profile, in the files of the environment or the home directory.
//   - Else the keys in the environment; the file AWS_SHARED_CREDENTIALS_FILE if
//     its profile has credentials; the web identity in the environment; the
//     files in the home directory; the container's endpoint; the machine's role.
func (a Access) Identity(ctx context.Context) (Identity, error) {
	shared := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
	switch {
	case a.Given != nil:
		return a.Given.identity(ctx, a.profile())
	case a.CredentialsFile != "":
		id, err := rewrittenFileIdentity(ctx, a.CredentialsFile, a.profile())
		if id.empty {
			id.warn("%s has no credentials, so those of the pod or machine are used", id.description)
		}
		return id, err
	case a.Profile != "":
		return profileIdentity(ctx, a.Profile, shared)
	case os.Getenv("AWS_ACCESS_KEY_ID") != "" || shared == "":
		return environmentIdentity(ctx)
	}
	id, err := fileIdentity(ctx, shared, a.profile())
	if err == nil && !id.empty {
		return id, nil
	}
	if err != nil && !isAbsentProfile(err) {
		return Identity{}, err
	}
	id, err = environmentIdentity(ctx)
	id.warn("the file %s of AWS_SHARED_CREDENTIALS_FILE has no credentials for profile %s, so those of the environment, pod or machine are used", shared, a.profile())
	return id, err
}

func (id *Identity) warn(format string, args ...any) {
	id.Warnings = append(id.Warnings, fmt.Sprintf(format, args...))
}

func (a Access) profile() string {
	for _, name := range []string{a.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE")} {
		if name != "" {
			return name
		}
	}
	return "default"
}

// rewriteTime is what Velero may take to write a credentials file, on a node that
// is busy.
const rewriteTime = time.Second

// rewrittenFileIdentity is fileIdentity for a file that Velero writes. It does
// so in place, before every operation on a location and while others read: the
// file is empty for a moment then.
func rewrittenFileIdentity(ctx context.Context, file, profile string) (Identity, error) {
	deadline := time.Now().Add(rewriteTime)
	for {
		id, err := fileIdentity(ctx, file, profile)
		if !isAbsentProfile(err) || errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return id, err
		}
		select {
		case <-ctx.Done():
			return id, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// fileIdentity takes a profile from one file, read as credentials and as
// configuration, so that both [name] and [profile name] are found.
func fileIdentity(ctx context.Context, file, profile string) (Identity, error) {
	id := Identity{
		description: fmt.Sprintf("profile %s of %s", profile, file),
		profile:     profile,
		Pinned:      true,
		configFiles: []string{file},
		credFiles:   []string{file},
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Identity{}, id.fault(err)
	}
	if bytes.HasPrefix(data, byteOrderMark) {
		return Identity{}, id.fault(errors.New("the file begins with a byte order mark; save it as UTF-8 without one"))
	}
	return id.withProfile(ctx, data)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// withProfile returns id with what its profile says. data is the content of the
// file that should have the profile.
func (id Identity) withProfile(ctx context.Context, data []byte) (Identity, error) {
	p, err := id.load(ctx)
	if err != nil {
		return Identity{}, id.fault(fmt.Errorf("%w; %s", err, sections(data)))
	}
	id.empty = !hasCredentials(p)
	return id, nil
}

// profileIdentity takes a profile from the files of the environment or of the
// home directory.
func profileIdentity(ctx context.Context, profile, shared string) (Identity, error) {
	id := Identity{
		description: "profile " + profile,
		profile:     profile,
		Pinned:      true,
		configFiles: []string{homeFile("AWS_CONFIG_FILE", "config")},
		credFiles:   []string{homeFile("AWS_SHARED_CREDENTIALS_FILE", "credentials")},
	}
	if shared != "" {
		id.configFiles = append(id.configFiles, shared)
	}
	if _, err := id.load(ctx); err != nil {
		return Identity{}, id.fault(fmt.Errorf("%w (looked in %s)", err, strings.Join(append(id.configFiles, id.credFiles...), ", ")))
	}
	return id, nil
}

// environmentIdentity leaves the choice to the SDK's own chain.
func environmentIdentity(ctx context.Context) (Identity, error) {
	id := Identity{
		description: "the environment, the pod or the machine",
		profile:     Access{}.profile(),
		configFiles: []string{homeFile("AWS_CONFIG_FILE", "config")},
		credFiles:   []string{homeFile("AWS_SHARED_CREDENTIALS_FILE", "credentials")},
	}
	if _, err := id.load(ctx); err != nil && !isAbsentProfile(err) {
		return Identity{}, id.fault(err)
	}
	return id, nil
}

func homeFile(variable, name string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return name // a pod without a home directory has no such file
	}
	return filepath.Join(home, ".aws", name)
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
	return p, id.given.named(err, configFiles[0])
}

func (id Identity) fault(err error) error {
	return &fault.Error{Code: CodeCredentialsFile, What: "error reading credentials from " + id.description, Err: err}
}

func isAbsentProfile(err error) bool {
	var absent awsconfig.SharedConfigProfileNotExistError
	return errors.As(err, &absent) || errors.Is(err, fs.ErrNotExist)
}

func hasCredentials(p awsconfig.SharedConfig) bool {
	return p.Credentials.HasKeys() || p.RoleARN != "" || p.SourceProfileName != "" || p.CredentialSource != "" ||
		p.WebIdentityTokenFile != "" || p.SSOSessionName != "" || p.SSOStartURL != "" || p.LoginSession != "" ||
		p.CredentialProcess != ""
}

// sections names the profiles of a credentials file, and nothing else of it.
func sections(data []byte) string {
	var names []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if end := strings.IndexByte(line, ']'); strings.HasPrefix(line, "[") && end > 0 {
			names = append(names, line[:end+1])
		}
	}
	if len(names) == 0 {
		return "the file has no section such as [default]"
	}
	return "the file has " + strings.Join(names, " ")
}

// Config returns a configuration for clients of AWS services, which send their
// requests by transport. region is where tokens are requested, "" for AWS_REGION,
// AWS_DEFAULT_REGION, the profile's region or us-east-1. Credentials are not
// requested yet; they renew themselves.
func (id Identity) Config(ctx context.Context, transport *endpoint.Transport, region string) (aws.Config, error) {
	configFiles, credFiles, done, err := id.open()
	if err != nil {
		return aws.Config{}, id.fault(err)
	}
	defer done()
	client := tokenClient(transport)
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithAPIOptions([]func(*middleware.Stack) error{limitAnswers}),
		awsconfig.WithHTTPClient(client),
		awsconfig.WithLogger(logging.Nop{}), // it would write to stderr, which belongs to the plugin protocol
		awsconfig.WithRegion(region),
		awsconfig.WithDefaultRegion(FallbackRegion),
		awsconfig.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
		awsconfig.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = credentialMargin }),
		awsconfig.WithSharedConfigFiles(configFiles),
		awsconfig.WithSharedCredentialsFiles(credFiles),
		awsconfig.WithCredentialsProvider(id.keys),
	}
	if id.Pinned {
		// Naming the profile makes the SDK ignore what the environment holds.
		options = append(options, awsconfig.WithSharedConfigProfile(id.profile))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, id.fault(id.given.named(err, configFiles[0]))
	}
	if cache, ok := cfg.Credentials.(*aws.CredentialsCache); ok {
		cfg.Credentials = credentials{cache, id, client}
	}
	// What follows is for the service itself, no more for those of credentials.
	cfg.HTTPClient, cfg.APIOptions = transport.Client(), nil
	return cfg, nil
}

// credentials are cached, and their errors say whose they are.
type credentials struct {
	*aws.CredentialsCache
	id     Identity
	client aws.HTTPClient // of the services that hand them out
}

// Retrieve implements aws.CredentialsProvider.
func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	keys, err := c.CredentialsCache.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, c.id.explain(err)
	}
	return keys, nil
}

// Renew requests new credentials, whatever is left of the life of those at hand.
func Renew(ctx context.Context, cfg aws.Config) error {
	c, ok := cfg.Credentials.(credentials)
	if !ok {
		return nil
	}
	c.Invalidate()
	_, err := c.Retrieve(ctx)
	return err
}

// Retrieve requests credentials within a time limit and names their source.
func (id Identity) Retrieve(ctx context.Context, cfg aws.Config) (source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, credentialTime)
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	return id.sourceName(c), err
}

// sourceName names the provider in words where the SDK's name needs them.
func (id Identity) sourceName(c aws.Credentials) string {
	name, detail, _ := strings.Cut(c.Source, ": ")
	if id.given.from != "" {
		detail = id.given.from
	}
	words := map[string]string{
		"SharedConfigCredentials":     "keys in file " + detail,
		"EnvConfigCredentials":        "keys in the environment",
		"WebIdentityCredentials":      "web identity token",
		"AssumeRoleProvider":          "assumed role",
		"EC2RoleProvider":             "role of the machine",
		"CredentialsEndpointProvider": "container credentials endpoint",
		"ProcessProvider":             "credential_process",
		"SSOProvider":                 "single sign-on",
	}[name]
	if words == "" {
		return c.Source
	}
	return words
}
