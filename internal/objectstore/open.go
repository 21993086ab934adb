package objectstore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// memory is how much the buffers of a bucket take together, in bytes, whatever
// the number of objects on their way and the location's multipartPartSizeMiB. It
// leaves as much again to the rest of the plugin, of 100 MiB.
const memory = 48 << 20

// provider is how the buckets of a provider are reached.
type provider struct {
	open    func(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (BucketCloser, error)
	ambient func(ctx context.Context, l *location.Location) error
}

// providers has those of which this version keeps something in buckets.
var providers = map[string]provider{
	"aws": {open: openS3, ambient: ambientAWS},
}

// Open opens the bucket of a location with the credential that was found for it.
// The location's config counts in full, but for the credential. It looks for the
// region if the config has none, and requests credentials if they are of a role.
func Open(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (BucketCloser, error) {
	p, err := providerOf(found.Location)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, found, log)
}

// Ambient finds out whether the process has an identity of its own at the
// provider of a location. It is made for a [registrysecret.Finder].
func Ambient(ctx context.Context, l *location.Location) error {
	p, err := providerOf(l)
	if err != nil {
		return err
	}
	return p.ambient(ctx, l)
}

func providerOf(l *location.Location) (provider, error) {
	p, ok := providers[l.ProviderKind()]
	if !ok {
		return provider{}, &fault.Error{
			Code: registrysecret.UnsupportedProvider,
			What: fmt.Sprintf("this version keeps no images with provider %q, which is that of backup storage location %s/%s", l.Provider, l.Namespace, l.Name),
			Fix:  "to back up without images, set spec.backupImages of the DPA to false or annotate image streams with openshift.io/skip-image-copy=true",
		}
	}
	return p, nil
}
