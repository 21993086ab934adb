// Package open opens the bucket of a backup storage location, with the store of
// its provider.
package open

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// bufferMemory is how much the buffers of a bucket take together, in bytes,
// whatever the number of transfers and the location's part size. It is half of the
// memory that a plugin may take for images, 100 MiB.
const bufferMemory = 48 << 20

// Opened is an open bucket with what distinguishes the buckets of its provider.
type Opened struct {
	objectstore.BucketCloser
	properties
}

// properties are what a provider states about its buckets.
type properties struct {
	// SlashedImageKeys reports whether some releases have written the keys of
	// images with a slash in front, /docker/registry/... in place of
	// docker/registry/..., so that a reader has to look for both.
	SlashedImageKeys bool
}

// provider opens the buckets of a provider.
type provider struct {
	open    func(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (objectstore.BucketCloser, error)
	ambient func(ctx context.Context, l *location.Location) error
	properties
}

// providers has the providers in whose buckets this version keeps something, by
// [location.Location.ProviderKind]. A new provider is one line.
var providers = map[string]provider{
	"aws":   {open: openS3, ambient: ambientAWS},
	"azure": {open: openAzure, ambient: ambientAzure, properties: properties{SlashedImageKeys: true}},
}

// Bucket opens the bucket of a location with the credential that was found for it.
// The location's config counts in full, but for the credential. It discovers the
// region if the config has none, and requests credentials if they are those of a
// role.
func Bucket(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (*Opened, error) {
	p, err := providerOf(found.Location)
	if err != nil {
		return nil, err
	}
	bucket, err := p.open(ctx, found, log)
	if err != nil {
		return nil, err
	}
	return &Opened{bucket, p.properties}, nil
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
			Fix: "use a location of provider " + strings.Join(slices.Sorted(maps.Keys(providers)), " or ") +
				"; or, to back up without images, set spec.backupImages of the DPA to false or annotate image streams with openshift.io/skip-image-copy=true",
		}
	}
	return p, nil
}
