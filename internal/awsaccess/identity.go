package awsaccess

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	staticcreds "github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/oadp-plugins/oadp-plugins/internal/credpolicy"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Access says where a location takes its credentials from. The environment of
// the process is read and never changed, since other locations share it.
type Access struct {
	Given           *Given // nil for none
	CredentialsFile string // "" for the environment's
	Profile         string // "" for AWS_PROFILE, AWS_DEFAULT_PROFILE or default
}

// Given is a credential that is at hand: either keys, or the content of a
// credentials file.
type Given struct {
	From   string            // in words, for messages: "secret openshift-adp/cloud-credentials, key cloud"
	Author credpolicy.Author // decides what a file may name

	AccessKeyID     string
	SecretAccessKey credfile.Sensitive

	Content credfile.Sensitive
}

// Identity is the outcome of Access: the file and the profile that count.
type Identity struct {
	Region   string // of the profile, "" when it has none
	Warnings []string
	Content  [sha256.Size]byte // digest of the files
	Pinned   bool              // the profile counts, whatever the environment holds

	description string
	profile     string
	isEmpty     bool // the profile has no credentials
	role        string
	web         webIdentity
	configFiles []string // paths for the SDK, unless there is a file
	credFiles   []string
	file        credentialsFile         // that was read already
	keys        aws.CredentialsProvider // in place of what the files say, nil for none
}

// Identity decides which source of credentials counts. It reads files and the
// environment, but asks no service:
//
//   - A given credential counts alone.
//   - So does a credentials file of the location, with its profile.
//   - So does a profile, in the files of the environment or the home directory.
//   - Else the keys in the environment; the file AWS_SHARED_CREDENTIALS_FILE if
//     its profile has credentials; the web identity in the environment; the
//     files in the home directory; the container's endpoint; the machine's role.
//
// A given credential and the location's file may hold only what package credpolicy
// allows.
func (a Access) Identity(ctx context.Context) (Identity, error) {
	shared := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
	switch {
	case a.Given != nil:
		return a.Given.identity(ctx, a.profile())
	case a.CredentialsFile != "":
		return locationFileIdentity(ctx, a.CredentialsFile, a.profile())
	case a.Profile != "":
		return profileIdentity(ctx, a.Profile, shared)
	case os.Getenv("AWS_ACCESS_KEY_ID") != "" || shared == "":
		return environmentIdentity(ctx)
	}
	id, err := environmentFileIdentity(ctx, shared, a.profile())
	if err == nil && !id.isEmpty {
		return id, nil
	}
	if err != nil && !isAbsent(err) {
		return Identity{}, err
	}
	id, err = environmentIdentity(ctx)
	id.warn("the file %s of AWS_SHARED_CREDENTIALS_FILE has no credentials for profile %s, so those of the environment, pod or machine are used", shared, a.profile())
	return id, err
}

// Author returns who wrote the credential and, with it, the config of the location.
func (a Access) Author() credpolicy.Author {
	switch {
	case a.Given != nil:
		return a.Given.Author
	case a.CredentialsFile != "":
		return credpolicy.OfFile(a.CredentialsFile)
	}
	return credpolicy.Administrator
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

// identity takes the keys, or a profile of the content.
func (g *Given) identity(ctx context.Context, profile string) (Identity, error) {
	if g.AccessKeyID == "" {
		content, err := credfile.Text([]byte(g.Content))
		if err != nil {
			return Identity{}, (Identity{description: g.From}).fault(err)
		}
		return ownIdentity(ctx, credentialsFile{g.From, content}, profile, g.Author)
	}
	id := Identity{
		description: g.From,
		profile:     "default",
		Pinned:      true,
		file:        credentialsFile{g.From, []byte("[default]\n")}, // so that the SDK looks for no other
		keys: staticcreds.StaticCredentialsProvider{Value: aws.Credentials{
			AccessKeyID:     g.AccessKeyID,
			SecretAccessKey: string(g.SecretAccessKey),
			Source:          "keys in " + g.From,
		}},
	}
	_, err := id.load(ctx)
	return id, err
}

// locationFileIdentity takes a profile of the file that the location names. Velero
// writes it in place before every operation on a location, while others read it.
func locationFileIdentity(ctx context.Context, path, profile string) (id Identity, err error) {
	_, err = credfile.ReadFile(ctx, path, func(text []byte) (err error) {
		id, err = ownIdentity(ctx, credentialsFile{path, text}, profile, credpolicy.OfFile(path))
		return err
	})
	var explained *fault.Error
	if err != nil && !errors.As(err, &explained) {
		err = fileIdentity(credentialsFile{name: path}, profile).fault(err)
	}
	return id, err
}

// ownIdentity takes a profile of a location's own credential. It alone counts: an
// entry that is misspelt must not lead to the identity of the pod or machine.
func ownIdentity(ctx context.Context, file credentialsFile, profile string, author credpolicy.Author) (Identity, error) {
	id := fileIdentity(file, profile)
	p, err := id.load(ctx)
	if err != nil {
		return Identity{}, id.fault(fmt.Errorf("%w; %s", err, file.sections()))
	}
	if err := credpolicy.AWS.Check(author, id.description, settingsOf(&p)...); err != nil {
		return Identity{}, err
	}
	if !isComplete(&p) {
		return Identity{}, id.fault(fmt.Errorf("it needs aws_access_key_id and aws_secret_access_key, or role_arn with web_identity_token_file; %s", file.entries(profile)))
	}
	return id, nil
}

// environmentFileIdentity takes a profile of the file that the environment names,
// which may have no credentials.
func environmentFileIdentity(ctx context.Context, path, profile string) (Identity, error) {
	content, err := credfile.ReadFile(ctx, path, nil)
	file := credentialsFile{path, content}
	id := fileIdentity(file, profile)
	if err != nil {
		return Identity{}, id.fault(err)
	}
	p, err := id.load(ctx)
	if err != nil {
		return Identity{}, id.fault(fmt.Errorf("%w; %s", err, file.sections()))
	}
	id.isEmpty = !hasCredentials(&p)
	return id, nil
}

func fileIdentity(file credentialsFile, profile string) Identity {
	return Identity{
		description: fmt.Sprintf("profile %s of %s", profile, file.name),
		profile:     profile,
		Pinned:      true,
		file:        file,
	}
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
	if _, err := id.load(ctx); err != nil && !isAbsent(err) {
		return Identity{}, id.fault(err)
	}
	return id, nil
}

// homeFile returns the path of a file that belongs to the environment or to the
// home directory.
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

func (id Identity) fault(err error) error {
	return &fault.Error{Code: CodeCredentialsFile, What: "error reading credentials from " + id.description, Err: err}
}
