package awsaccess

import (
	"crypto/sha256"
	"sync"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Clients shares HTTP clients between the configurations that a store goes
// through: the idle connections of a client that is no longer used would stay
// open for a while. It is safe for concurrent use.
type Clients struct {
	mu      sync.Mutex
	byTrust map[trustKey]*awshttp.BuildableClient

	connections connections
}

// trustKey identifies what a location trusts.
type trustKey struct {
	bundle     [sha256.Size]byte
	skipVerify bool
}

// For returns the client for the certificates that a location trusts.
func (c *Clients) For(t Trust) (*awshttp.BuildableClient, error) {
	bundle, err := t.Bundle()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := trustKey{sha256.Sum256(bundle), t.SkipVerify}
	if client, ok := c.byTrust[key]; ok {
		return client, nil
	}
	client, err := t.HTTPClient()
	if err != nil {
		return nil, err
	}
	client = client.WithTransportOptions(c.connections.track)
	if c.byTrust == nil {
		c.byTrust = map[trustKey]*awshttp.BuildableClient{}
	}
	c.byTrust[key] = client
	return client, nil
}

// Close closes the connections of all clients, also those in use.
func (c *Clients) Close() { c.connections.close() }
