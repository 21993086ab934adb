package azblob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/google/uuid"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
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
		{Name: "identity", Run: c.whoAmI},
		{Name: "account", Run: c.findAccount},
		{Name: "DNS", Run: endpoint.Target(c.target).Resolve},
		{Name: "TLS", Run: endpoint.Target(c.target).Connect},
		{Name: "container", Run: c.list},
		{Name: "permissions", Run: c.permissions},
	}, nil
}

// checker runs the steps of one check, in order.
type checker struct {
	store *Store
	*prepared
	location *location // of the step account
}

// storageScope is what tokens for Blob storage are for, in all clouds.
const storageScope = "https://storage.azure.com/.default"

// whoAmI names the identity, and asks for a token if there are tokens.
func (c *checker) whoAmI(ctx context.Context) (string, error) {
	found, err := c.credential()
	switch {
	case err != nil:
		return "", err
	case found != nil && found.token != nil:
		return found.token.Retrieve(ctx, storageScope)
	case found != nil:
		return found.how, nil
	}
	token, err := c.identity.Token(c.transport)
	if err != nil {
		return "", err
	}
	return token.String() + ", which looks up the account's key", nil
}

func (c *checker) findAccount(ctx context.Context) (string, error) {
	found, err := c.find(ctx)
	if err != nil {
		return "", err
	}
	c.location = c.store.build(c.prepared, found, nil)
	return found.endpoint + ", from " + found.found, nil
}

// target returns the URL that requests go to.
func (c *checker) target(context.Context) (endpoint.Probe, *url.URL, error) {
	u, err := url.Parse(c.location.account.endpoint)
	return endpoint.Probe{Trust: c.settings.trust, Settings: azureaccess.Settings}, u, err
}

func (c *checker) list(ctx context.Context) (string, error) {
	client, err := c.location.container(c.settings.bucket)
	if err == nil {
		pages := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: optional(c.settings.prefix), MaxResults: new(int32(1))})
		_, err = pages.NextPage(ctx)
	}
	if err != nil {
		return "", c.location.explain("error listing container "+c.settings.bucket, err)
	}
	return c.settings.bucket + " can be listed", nil
}

// permissions tries what Velero needs on an object of its own, each thing by
// itself, so that one run names all that is missing.
func (c *checker) permissions(ctx context.Context) (string, error) {
	key := path.Join(c.settings.prefix, "backups", "check-"+uuid.NewString())
	var problems []error
	try := func(err error) bool {
		if err != nil {
			problems = append(problems, err)
		}
		return err == nil
	}
	written := try(c.location.put(ctx, c.settings.bucket, key, strings.NewReader("check")))
	if written {
		body, err := c.location.get(ctx, c.settings.bucket, key)
		if try(err) {
			_ = body.Close()
		}
	}
	signed, err := c.location.sign(ctx, c.settings.bucket, key, time.Minute)
	if try(c.location.explain("error signing a URL", err)) && written {
		try(c.download(ctx, signed))
	}
	if written {
		client, err := c.location.container(c.settings.bucket)
		if err == nil {
			_, err = client.NewBlobClient(key).Delete(ctx, nil)
		}
		try(c.location.explain("error deleting object "+key, err))
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	return "an object can be written, read, downloaded by a signed URL and deleted", nil
}

// download gets the object as a user's command line does.
func (c *checker) download(ctx context.Context, signed string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, signed, nil)
	if err != nil {
		return errors.New("error downloading by the signed URL: it is no URL")
	}
	response, err := c.transport.Do(request)
	if err != nil {
		return azureaccess.Settings.Fault("error downloading by the signed URL", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &fault.Error{
		Code: CodeDenied, What: "error downloading by the signed URL",
		Err: fmt.Errorf("%s (HTTP %d)", response.Header.Get("x-ms-error-code"), response.StatusCode),
		Fix: "assign the role Storage Blob Data Contributor on the container and Storage Blob Delegator on the account, or use an account key",
	}
}
