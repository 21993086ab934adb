package s3

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// Checks implements sdk.Checked.
func (s *Store) Checks(ctx context.Context, in sdk.ChecksInput) ([]sdk.Check, error) {
	p, err := s.prepare(ctx, in.Config)
	if err != nil {
		return nil, err
	}
	for _, warning := range p.settings.warnings {
		s.log.Warn(warning)
	}
	c := &checker{store: s, prepared: p}
	return []sdk.Check{
		{Name: "DNS", Run: endpoint.Target(c.reach).Resolve},
		{Name: "TLS", Run: endpoint.Target(c.reach).Connect},
		{Name: "credentials", Run: c.credentials},
		{Name: "account", Run: c.account},
		{Name: "region", Run: c.region},
		{Name: "bucket", Run: c.bucket},
		{Name: "permissions", Run: c.permissions},
	}, nil
}

// checker runs the steps of one check, in order.
type checker struct {
	store *Store
	*prepared
	tokens   aws.Config // of the step credentials
	cfg      aws.Config // of the step region
	location *location  // of the step bucket
}

// target returns the URL that requests for the bucket go to.
func (c *checker) target(ctx context.Context) (*url.URL, error) {
	client, err := c.store.clients.For(c.settings.trust)
	if err != nil {
		return nil, err
	}
	cfg, err := c.identity.Config(ctx, client, "")
	if err != nil {
		return nil, err
	}
	cfg.Region = cmp.Or(c.settings.region, cfg.Region)
	// The URL does not depend on the credentials, which are a later step.
	cfg.Credentials = credentials.NewStaticCredentialsProvider("check", "check", "")
	presign := s3.NewPresignClient(newClient(cfg, c.settings.endpoint, c.settings.pathStyle))
	signed, err := presign.PresignHeadBucket(ctx, &s3.HeadBucketInput{Bucket: &c.settings.bucket})
	if err != nil {
		return nil, fmt.Errorf("error building the address of bucket %q: %w", c.settings.bucket, err)
	}
	return url.Parse(signed.URL)
}

func (c *checker) reach(ctx context.Context) (endpoint.Probe, *url.URL, error) {
	u, err := c.target(ctx)
	return endpoint.Probe{Trust: c.settings.trust, Settings: c.settings.names()}, u, err
}

// credentials requests credentials and names their source. A role's are requested
// in the configured region, as the bucket's may not be known yet.
func (c *checker) credentials(ctx context.Context) (string, error) {
	client, err := c.store.clients.For(c.settings.trust)
	if err != nil {
		return "", err
	}
	region := ""
	if c.settings.endpoint == "" {
		region = c.settings.region
	}
	cfg, err := c.identity.Config(ctx, client, region)
	if err != nil {
		return "", err
	}
	c.tokens = cfg
	return c.identity.Retrieve(ctx, cfg)
}

// accountTime bounds the question for the account, which backups can do without.
const accountTime = 10 * time.Second

// account says whose the credentials are. The keys of another store are not shown
// to AWS.
func (c *checker) account(ctx context.Context) (string, error) {
	if !isAWS(c.settings.endpoint) && os.Getenv("AWS_ENDPOINT_URL_STS") == "" {
		return "unknown: the store at " + c.settings.endpoint + " is not AWS", nil
	}
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	found, err := awsaccess.Account(ctx, c.tokens)
	if err != nil {
		return "unknown: " + awsaccess.Plain(err).Error(), nil
	}
	return found, nil
}

func (c *checker) region(ctx context.Context) (string, error) {
	var (
		cfg aws.Config
		err error
	)
	c.store.current.Exclusively(func() { cfg, err = c.store.configure(ctx, c.prepared) })
	if err != nil {
		return "", err
	}
	c.cfg = cfg
	if c.settings.region != "" {
		return cfg.Region + ", as configured", nil
	}
	if c.settings.endpoint == "" {
		return cfg.Region + ", discovered", nil
	}
	return cfg.Region + ", by default", nil
}

// bucket lists the bucket as Velero does when it validates the location. Unlike
// the answer to a HEAD request an error has a body, which tells a wrong key from a
// missing permission.
func (c *checker) bucket(ctx context.Context) (string, error) {
	c.store.current.Exclusively(func() { c.location = c.store.build(c.prepared, c.cfg, nil) })
	l := c.location
	prefix := c.settings.prefix
	if prefix != "" {
		prefix += "/"
	}
	if _, _, err := l.list(ctx, query{bucket: c.settings.bucket, prefix: prefix, delimiter: "/"}); err != nil {
		return "", l.explain("error listing bucket "+c.settings.bucket, err)
	}
	return c.settings.bucket + " can be listed", nil
}
