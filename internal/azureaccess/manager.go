package azureaccess

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Manager is a client of Azure Resource Manager. It makes requests for resources
// by their ids; the generated clients of the SDK would make the binary larger by
// all that Azure has.
type Manager struct {
	client *arm.Client
	token  *Token
}

// managerAttempts is how often a request is made. The service asks for pauses of
// many seconds, which its answers say.
const managerAttempts = 9

// Manager returns a client with an identity. It asks no service.
func (id Identity) Manager(client *http.Client) (*Manager, error) {
	token, err := id.Token(client)
	if err != nil {
		return nil, err
	}
	c, err := arm.NewClient("oadp-plugins", "v1.0.0", token, &arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions: azcore.ClientOptions{
			Cloud:           id.Cloud.with(id.access.Authority, id.access.Manager, id.access.ManagerAudience),
			Transport:       withoutRedirects(client),
			Retry:           policy.RetryOptions{MaxRetries: -1},
			PerCallPolicies: []policy.Policy{NewAttempts(managerAttempts)},
		},
	})
	if err != nil {
		return nil, err
	}
	return &Manager{c, token}, nil
}

// Token returns the identity of the client.
func (m *Manager) Token() *Token { return m.token }

// Endpoint is the address of the service.
func (m *Manager) Endpoint() string { return m.client.Endpoint() }

// Send makes a request for a resource and reads the answer into answer unless that
// is nil. target is the id of the resource with the version of its API:
//
//	/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/disks/D?api-version=2025-01-02
//
// The error for any answer but 200, 201, 202 and 204 is an azcore.ResponseError.
func (m *Manager) Send(ctx context.Context, method, target string, body, answer any) (*http.Response, error) {
	request, err := runtime.NewRequest(ctx, method, runtime.JoinPaths(m.client.Endpoint(), target))
	if err != nil {
		return nil, err
	}
	request.Raw().Header.Set("Accept", "application/json")
	if body != nil {
		if err := runtime.MarshalAsJSON(request, body); err != nil {
			return nil, err
		}
	}
	response, err := m.client.Pipeline().Do(request)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(response, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent) {
		return nil, runtime.NewResponseError(response)
	}
	content, err := runtime.Payload(response)
	if err != nil {
		return nil, err
	}
	if answer != nil && response.StatusCode != http.StatusNoContent {
		if err := json.Unmarshal(content, answer); err != nil {
			return nil, fmt.Errorf("the answer of Azure Resource Manager is no JSON (HTTP %d)", response.StatusCode)
		}
	}
	return response, nil
}

// Pipeline sends further requests about what an answer has begun.
func (m *Manager) Pipeline() runtime.Pipeline { return m.client.Pipeline() }
