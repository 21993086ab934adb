package awsaccess

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Config returns a configuration for clients of AWS services, which send their
// requests by client. region is where tokens are requested, "" for AWS_REGION,
// AWS_DEFAULT_REGION, the profile's region or us-east-1. Credentials are not
// requested yet; they renew themselves.
func (id Identity) Config(ctx context.Context, client *Client, region string) (aws.Config, error) {
	configFiles, credFiles, done, err := id.open()
	if err != nil {
		return aws.Config{}, id.fault(err)
	}
	defer done()
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithAPIOptions([]func(*middleware.Stack) error{limitAnswers}),
		awsconfig.WithHTTPClient(client.tokens),
		awsconfig.WithLogger(logging.Nop{}), // it would write to stderr, which belongs to the plugin protocol
		awsconfig.WithRegion(region),
		awsconfig.WithDefaultRegion(FallbackRegion),
		awsconfig.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client.tokens }),
		awsconfig.WithSharedConfigFiles(configFiles),
		awsconfig.WithSharedCredentialsFiles(credFiles),
		awsconfig.WithCredentialsProvider(id.keys),
	}
	if id.Pinned {
		// Naming the profile makes the SDK ignore what the environment holds.
		options = append(options, awsconfig.WithSharedConfigProfile(id.profile))
	}
	if one := client.oneAuthority; one != nil && os.Getenv(BundleVariable) != "" {
		// Without this option the SDK parses the whole file of the variable, for a client
		// that trusts these certificates already. It refuses a bundle without any.
		options = append(options, awsconfig.WithCustomCABundle(bytes.NewReader(one)))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, id.fault(id.file.named(err, configFiles[0]))
	}
	if !isRegion(cfg.Region) {
		return aws.Config{}, &fault.Error{
			Code: CodeRegion,
			What: fmt.Sprintf("the region %q cannot be a part of a host name, in which tokens would be requested", cfg.Region),
		}
	}
	if cache, ok := cfg.Credentials.(*aws.CredentialsCache); ok {
		cfg.Credentials = newCredentials(id, cache, client.tokens)
	}
	// What follows is for the service itself, no more for those of credentials.
	cfg.HTTPClient, cfg.APIOptions = client.service, nil
	return cfg, nil
}

// region is one label of a host name. The SDK puts a region into the host of its
// requests: sts.REGION.amazonaws.com. With "evil.org/" in its place the token of
// the pod would be sent to another server.
var region = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)

func isRegion(name string) bool { return name == "" || region.MatchString(name) }
