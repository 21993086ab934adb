package awsaccess

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	staticcreds "github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
)

// Given is a credential that is at hand: either keys, or the content of a
// credentials file.
type Given struct {
	From string // in words, for messages: "secret openshift-adp/cloud-credentials, key cloud"

	AccessKeyID     string
	SecretAccessKey credfile.Sensitive

	Content credfile.Sensitive
}

// identity takes the keys, or a profile of the content. A byte order mark does no
// harm here.
func (g *Given) identity(ctx context.Context, profile string) (Identity, error) {
	id := Identity{
		description: "profile " + profile + " of " + g.From,
		profile:     profile,
		Pinned:      true,
		given:       givenFile{g.From, bytes.TrimPrefix([]byte(g.Content), byteOrderMark)},
	}
	if g.AccessKeyID != "" {
		// The SDK gets an empty profile, so that it looks for no other.
		id.description, id.profile, id.given.content = g.From, "default", []byte("[default]\n")
		id.keys = staticcreds.StaticCredentialsProvider{Value: aws.Credentials{
			AccessKeyID:     g.AccessKeyID,
			SecretAccessKey: string(g.SecretAccessKey),
			Source:          "keys in " + g.From,
		}}
	}
	found, err := id.withProfile(ctx, id.given.content)
	if err == nil && found.empty && id.keys == nil {
		err = id.fault(errors.New("it has no credentials"))
	}
	return found, err
}

// givenFile is a credentials file that is not on disk.
type givenFile struct {
	from    string // in words, "" for none
	content []byte
}

// open returns the paths of the files that the SDK is to read. They are valid
// until done is called.
func (id Identity) open() (configFiles, credFiles []string, done func(), err error) {
	if id.given.from == "" {
		return id.configFiles, id.credFiles, func() {}, nil
	}
	path, done, err := memoryFile(id.given.content)
	return []string{path}, []string{path}, done, err
}

// named returns an error of the SDK with words in place of the path.
func (g givenFile) named(err error, path string) error {
	if err == nil || g.from == "" {
		return err
	}
	return endpoint.WithText(strings.ReplaceAll(err.Error(), path, g.from), err)
}
