package awsaccess

import (
	"context"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
)

// ambientTime bounds the search for an identity of the pod or machine. Without one
// the address of the metadata service does not answer at all.
const ambientTime = 10 * time.Second

// Ambient finds out whether the environment, the pod or the machine has an
// identity of its own, by requesting credentials. region is where tokens are
// requested, as for Config.
func Ambient(ctx context.Context, trust endpoint.Trust, region string) error {
	var clients Clients
	defer clients.Close()
	client, err := clients.For(trust)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ambientTime)
	defer cancel()
	id, err := environmentIdentity(ctx)
	if err != nil {
		return err
	}
	cfg, err := id.Config(ctx, client, region)
	if err != nil {
		return err
	}
	_, err = id.Retrieve(ctx, cfg)
	return err
}
