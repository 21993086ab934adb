package s3

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// Checks implements sdk.Checked.
func (s *Store) Checks(configuration map[string]string) ([]sdk.Check, error) {
	p, err := prepare(context.Background(), configuration)
	if err != nil {
		return nil, err
	}
	for _, warning := range p.settings.warnings {
		s.log.Warn(warning)
	}
	c := &checker{store: s, prepared: p}
	return []sdk.Check{
		{Name: "DNS", Run: c.dns},
		{Name: "TLS", Run: c.tls},
		{Name: "credentials", Run: c.credentials},
		{Name: "region", Run: c.region},
		{Name: "bucket", Run: c.bucket},
	}, nil
}

// checker runs the steps of one check, in order.
type checker struct {
	store *Store
	*prepared
	cfg aws.Config
}

// target returns the URL that requests for the bucket go to.
func (c *checker) target(ctx context.Context) (*url.URL, *http.Transport, error) {
	client, err := c.settings.trust.HTTPClient()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := c.identity.Config(ctx, client, "")
	if err != nil {
		return nil, nil, err
	}
	cfg.Region = cmp.Or(c.settings.region, cfg.Region)
	// The URL does not depend on the credentials, which are a later step.
	cfg.Credentials = credentials.NewStaticCredentialsProvider("check", "check", "")
	presign := s3.NewPresignClient(newClient(cfg, c.settings.endpoint, c.settings.pathStyle))
	signed, err := presign.PresignHeadBucket(ctx, &s3.HeadBucketInput{Bucket: &c.settings.bucket})
	if err != nil {
		return nil, nil, fmt.Errorf("error building the address of bucket %q: %w", c.settings.bucket, err)
	}
	u, err := url.Parse(signed.URL)
	return u, client.GetTransport(), err
}

// dns resolves the host that is connected to, which may be a proxy.
func (c *checker) dns(ctx context.Context) (string, error) {
	u, transport, err := c.target(ctx)
	if err != nil {
		return "", err
	}
	name, via := u.Hostname(), ""
	proxy, err := transport.Proxy(&http.Request{URL: u})
	if err != nil {
		return "", &fault.Error{Code: CodeProxy, What: "error reading the proxy variables of the environment", Err: err}
	}
	if proxy != nil {
		name, via = proxy.Hostname(), " (the proxy for "+u.Host+")"
	}
	if net.ParseIP(name) != nil {
		return name + via + " is an address", nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return "", connectionFault("error resolving "+name+via, err)
	}
	return fmt.Sprintf("%s%s is %s", name, via, strings.Join(addresses, ", ")), nil
}

// tls connects and looks at the certificate. Any answer will do.
func (c *checker) tls(ctx context.Context) (string, error) {
	u, transport, err := c.target(ctx)
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 2*connectTime)
	defer cancel()
	root := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, root.String(), nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", connectionFault("error connecting to "+u.Scheme+"://"+u.Host, err)
	}
	response.Body.Close()
	if response.TLS == nil {
		return u.Host + " answers over plain HTTP, without encryption", nil
	}
	certificate := response.TLS.PeerCertificates[0]
	trust := "verified"
	if c.settings.trust.SkipVerify {
		trust = "not verified, because of insecureSkipTLSVerify"
	}
	return fmt.Sprintf("%s answers, certificate of %q issued by %q valid until %s, %s", u.Host, certificate.Subject,
		certificate.Issuer, certificate.NotAfter.Format(time.DateOnly), trust), nil
}

// credentials requests credentials and names their source. A role's are requested
// in the configured region, as the bucket's may not be known yet.
func (c *checker) credentials(ctx context.Context) (string, error) {
	client, err := c.settings.trust.HTTPClient()
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
	return c.identity.Retrieve(ctx, cfg)
}

func (c *checker) region(ctx context.Context) (string, error) {
	c.store.init.Lock()
	defer c.store.init.Unlock()
	cfg, err := c.store.configure(ctx, c.prepared)
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

// bucket lists one object: unlike the answer to a HEAD request an error has a
// body that tells a wrong key from a missing permission.
func (c *checker) bucket(ctx context.Context) (string, error) {
	c.store.init.Lock()
	l := c.store.build(c.prepared, c.cfg, nil)
	c.store.init.Unlock()
	_, err := l.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket:  &c.settings.bucket,
		Prefix:  optional(c.settings.prefix),
		MaxKeys: aws.Int32(1),
	})
	if err != nil {
		return "", l.explain("error listing bucket "+c.settings.bucket, err)
	}
	return c.settings.bucket + " can be listed", nil
}
