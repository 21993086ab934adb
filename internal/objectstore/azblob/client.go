package azblob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/oadp-plugins/oadp-plugins/internal/azureaccess"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// maxAttempts is how often a request is sent. A backup of hours should outlast a
// minute of trouble.
const maxAttempts = 10

// credential proves who sends the requests: one of its fields is set.
type credential struct {
	key   *container.SharedKeyCredential
	token *azureaccess.Token
	sas   string // query of a shared access signature, without the question mark
	how   string // in words, for messages
}

// account is a storage account that has been found.
type account struct {
	credential
	name     string
	endpoint string // without a slash at its end
	found    string // how the endpoint was found, in words
}

// client makes clients for an account's containers.
func (a *account) client(bucket string, transport *http.Client) (*container.Client, error) {
	options := &container.ClientOptions{ClientOptions: a.options(transport)}
	options.ExpectContinueBehavior.Mode = container.ExpectContinueModeOff // a request waits for no answer before its body
	target := a.endpoint + "/" + url.PathEscape(bucket)
	switch {
	case a.key != nil:
		return container.NewClientWithSharedKeyCredential(target, a.key, options)
	case a.token != nil:
		return container.NewClient(target, a.token, options)
	}
	return container.NewClientWithNoCredential(target+"?"+a.sas, options)
}

func (a *account) options(transport *http.Client) azcore.ClientOptions {
	return azcore.ClientOptions{
		Transport:       transport,
		Retry:           policy.RetryOptions{MaxRetries: -1},
		PerCallPolicies: []policy.Policy{azureaccess.NewAttempts(maxAttempts)},
	}
}

// delegation asks for a key that signs URLs with the identity's rights. The SDK
// takes the account's name from the host of the client, which is another one with a
// custom domain or an address: so the client gets a host of that name, and a policy
// sends the request to the endpoint.
func (a *account) delegation(ctx context.Context, transport *http.Client, from, to time.Time) (*service.UserDelegationCredential, error) {
	options := a.options(transport)
	options.PerRetryPolicies = []policy.Policy{redirect(a.endpoint)}
	client, err := service.NewClient("https://"+a.name+".account", a.token, &service.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	const form = "2006-01-02T15:04:05Z"
	start, expiry := from.UTC().Format(form), to.UTC().Format(form)
	return client.GetUserDelegationCredential(ctx, service.KeyInfo{Start: &start, Expiry: &expiry}, nil)
}

// redirect sends requests to another address, whose path comes before theirs.
type redirect string

// Do implements policy.Policy.
func (to redirect) Do(request *policy.Request) (*http.Response, error) {
	target, err := url.Parse(string(to))
	if err != nil {
		return nil, err
	}
	u := request.Raw().URL
	u.Scheme, u.Host, u.Path = target.Scheme, target.Host, strings.TrimRight(target.Path, "/")+u.Path
	request.Raw().Host = target.Host
	return request.Next()
}

// finder finds an account's endpoint and credential.
type finder struct {
	*settings
	identity  azureaccess.Identity
	transport *http.Client
}

// credential returns what the configuration and the credentials prove, and nil
// for an account whose key has to be looked up. It asks no service.
func (f finder) credential() (*credential, error) {
	const key, sas = "storageAccountKeyEnvVar", "storageAccountSASTokenEnvVar"
	switch {
	case f.sasEntry != "":
		token, err := f.entry(sas, f.sasEntry)
		if err != nil {
			return nil, err
		}
		return &credential{sas: strings.TrimPrefix(token, "?"), how: "the shared access signature in " + f.sasEntry + " of " + f.identity.Source()}, nil
	case f.keyEntry != "":
		value, err := f.entry(key, f.keyEntry)
		if err != nil {
			return nil, err
		}
		return sharedKey(f.account, value, "the account key in "+f.keyEntry+" of "+f.identity.Source())
	case f.useAAD:
		token, err := f.identity.Token(f.transport)
		if err != nil {
			return nil, err
		}
		return &credential{token: token, how: "the " + token.String()}, nil
	}
	return nil, nil
}

// entry returns an entry of the credentials that a config key names.
func (f finder) entry(key, name string) (string, error) {
	if value := f.identity.Entry(name); value != "" {
		return strings.TrimSpace(string(value)), nil
	}
	return "", &fault.Error{
		Code: azureaccess.CodeCredentialsFile, What: "error reading " + f.identity.Source(),
		Err: fmt.Errorf("there is no entry %s, which %s names", name, key), Fix: f.identity.MissingCredential(name),
	}
}

func sharedKey(account, value, how string) (*credential, error) {
	key, err := container.NewSharedKeyCredential(account, value)
	if err != nil {
		// The error of a decoder quotes what it decodes.
		return nil, &fault.Error{Code: CodeAccountKey, What: "error reading " + how, Err: errors.New("it is not in base64")}
	}
	return &credential{key: key, how: how}, nil
}

// find returns the account. It asks Azure Resource Manager if the configuration
// leaves the key or the endpoint open.
func (f finder) find(ctx context.Context) (*account, error) {
	c, err := f.findCredentialAndEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.endpoint, "http://") && c.token != nil {
		return nil, &fault.Error{
			What: "error opening " + c.endpoint, Err: errors.New("tokens are not sent over plain HTTP"), Fix: "use an https address in storageAccountURI",
		}
	}
	return c, nil
}

func (f finder) findCredentialAndEndpoint(ctx context.Context) (*account, error) {
	a := &account{name: f.account, endpoint: f.endpoint, found: "storageAccountURI"}
	c, err := f.credential()
	if err != nil {
		return nil, err
	}
	byDefault := strings.TrimRight(f.identity.Cloud.DefaultBlobEndpoint(f.account), "/")
	switch {
	case c != nil && c.sas != "":
		a.credential = *c
		if f.sasEndpoint != "" {
			a.endpoint, a.found = f.sasEndpoint, "storageAccountBlobEndpoint"
		}
	case c != nil && c.key != nil:
		a.credential = *c
	default:
		return a, f.lookUp(ctx, a, c, byDefault)
	}
	if a.endpoint == "" {
		a.endpoint, a.found = byDefault, "the account's name in "+f.identity.Cloud.Name
	}
	return a, nil
}

// lookUp asks Azure Resource Manager for the endpoint and, without c, for the key,
// both at the same time.
func (f finder) lookUp(ctx context.Context, a *account, c *credential, byDefault string) error {
	group, subscription := f.resourceGroup(), f.subscriptionID()
	manager, managerErr := f.identity.Manager(f.transport)
	endpoints := make(chan string, 1)
	switch {
	case a.endpoint != "":
		endpoints <- a.endpoint
	case group == "" || subscription == "" || managerErr != nil:
		endpoints <- ""
	default:
		go func() { endpoints <- f.blobEndpoint(ctx, manager, subscription, group) }()
	}
	if c == nil {
		err := managerErr
		if err == nil {
			c, err = f.listKeys(ctx, manager, subscription, group)
		}
		if err != nil {
			<-endpoints
			return fmt.Errorf("failed to get storage account access key of %s: %w", f.account, err)
		}
	}
	a.credential = *c
	found := <-endpoints
	switch {
	case found == "":
		a.endpoint, a.found = byDefault, "the account's name in "+f.identity.Cloud.Name
	case a.endpoint == "":
		a.endpoint, a.found = found, "the properties of the account"
	}
	return nil
}

func (f finder) resourceGroup() string {
	if f.group != "" {
		return f.group
	}
	return f.identity.Group
}

func (f finder) subscriptionID() string {
	if f.subscription != "" {
		return f.subscription
	}
	return f.identity.Subscription
}

// storageVersion is the version of the API for storage accounts.
const storageVersion = "2024-01-01"

// lookUpTime bounds the question for the endpoint, which most accounts can do
// without.
const lookUpTime = 5 * time.Second

// blobEndpoint returns the address of the account's blobs as the account has it,
// "" when that cannot be found out. An identity for data alone must not ask.
func (f finder) blobEndpoint(ctx context.Context, manager *azureaccess.Manager, subscription, group string) string {
	ctx, cancel := context.WithTimeout(azureaccess.WithAttempts(ctx, 1), lookUpTime)
	defer cancel()
	var answer struct {
		Properties struct {
			PrimaryEndpoints struct {
				Blob string `json:"blob"`
			} `json:"primaryEndpoints"`
		} `json:"properties"`
	}
	if _, err := manager.Send(ctx, http.MethodGet, accountID(subscription, group, f.account)+"?api-version="+storageVersion, nil, &answer); err != nil {
		return ""
	}
	return strings.TrimRight(answer.Properties.PrimaryEndpoints.Blob, "/")
}

func accountID(subscription, group, account string) string {
	return "/subscriptions/" + url.PathEscape(subscription) + "/resourceGroups/" + url.PathEscape(group) +
		"/providers/Microsoft.Storage/storageAccounts/" + url.PathEscape(account)
}

// listKeys looks up the account's key.
func (f finder) listKeys(ctx context.Context, manager *azureaccess.Manager, subscription, group string) (*credential, error) {
	for _, missing := range []struct{ value, key, entry string }{
		{subscription, "subscriptionId", "AZURE_SUBSCRIPTION_ID"}, {group, "resourceGroup", "AZURE_RESOURCE_GROUP"},
	} {
		if missing.value == "" {
			return nil, &fault.Error{
				Code: CodeAccountKey, What: missing.key + " is not known",
				Fix: fmt.Sprintf("set %s in the config of the location, or %s; or %s", missing.key, f.identity.MissingCredential(missing.entry), remedies),
			}
		}
	}
	var answer struct {
		Keys []struct {
			Value       credfile.Sensitive `json:"value"`
			Permissions string             `json:"permissions"`
		} `json:"keys"`
	}
	target := accountID(subscription, group, f.account) + "/listKeys?api-version=" + storageVersion + "&$expand=kerb"
	if _, err := manager.Send(ctx, http.MethodPost, target, nil, &answer); err != nil {
		err := azureaccess.ManagerFault("error listing the keys", err)
		var explained *fault.Error
		if errors.As(err, &explained) && azureaccess.Status(err) != 0 {
			copied := *explained
			copied.Fix = strings.TrimPrefix(copied.Fix+"; or "+remedies, "; or ")
			return nil, &copied
		}
		return nil, err
	}
	for _, key := range answer.Keys {
		if strings.EqualFold(key.Permissions, "FULL") {
			return sharedKey(f.account, string(key.Value), "the account key that "+manager.Token().String()+" has looked up")
		}
	}
	return nil, &fault.Error{Code: CodeAccountKey, What: "no key with full permissions is there"}
}

// remedies are the two ways to do without looking up a key.
const remedies = `set useAAD to "true" in the config and assign the role Storage Blob Data Contributor on the container, ` +
	`or put the key into the secret of the credentials and its name into storageAccountKeyEnvVar`
