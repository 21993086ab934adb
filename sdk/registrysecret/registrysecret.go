// Package registrysecret finds the credential with which the images of a
// backup reach the bucket of its BackupStorageLocation.
//
// The OADP operator keeps a copy of that credential in a secret named
// oadp-LOCATION-PROVIDER-registry-secret. The copy may be missing, empty or out
// of date, so it is only the first of several sources; the first complete
// credential wins:
//
//  1. the registry secret, unless the operator made it and it differs from 2
//  2. the credential of the location itself
//  3. the provider's default secret
//  4. mounted files and environment variables
//  5. the identity of the pod or node
//
// For a location that names a credential, 1 and 2 are all, together with the file
// that Velero writes for it.
package registrysecret

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
)

// GetLocation reads a BackupStorageLocation as the Kubernetes API gives it. Its
// errors are those of the API.
type GetLocation func(ctx context.Context, namespace, name string) (map[string]any, error)

// GetSecret reads a secret. Its errors are those of the Kubernetes API, since
// absent and forbidden secrets are told apart.
type GetSecret func(ctx context.Context, namespace, name string) (*Secret, error)

// Secret is what Finder needs of a secret.
type Secret struct {
	Data       map[string][]byte
	OwnerKinds []string // kinds in its owner references
}

// Finder finds credentials. Its functions must be safe for concurrent use if
// Find is called concurrently.
type Finder struct {
	Location GetLocation
	Secret   GetSecret

	// Ambient reports whether the process has an identity of its own at the
	// location's provider. nil means that there is none.
	Ambient func(ctx context.Context, l *location.Location) error

	ReadFile func(path string) ([]byte, error) // os.ReadFile when nil
	Getenv   func(name string) string          // os.Getenv when nil
	Log      *slog.Logger                      // no log when nil
}

// Request names the location.
type Request struct {
	Namespace string // of Velero
	Location  string // the backup's spec.storageLocation
	Backup    string // for error texts
}

// Found is a credential and where it is from. It does not change.
type Found struct {
	Location   *location.Location
	Provider   string // aws, azure or gcp
	Source     Source
	From       string // the source in words: "secret openshift-adp/cloud-credentials, key cloud"
	Credential Credential
	CABundle   string // PEM text: the content of the location's caCertRef, if it has one
}

// Source is a kind of place in which a credential is found.
type Source string

// The sources, in the order in which they are tried.
const (
	RegistrySecret     Source = "registry secret"
	LocationCredential Source = "credential of the location"
	DefaultSecret      Source = "default secret"
	Mounted            Source = "mounted file or environment"
	Ambient            Source = "ambient identity"
)

// Credential holds the credential of one provider. For an ambient identity it
// is empty.
type Credential struct {
	AWS   *credfile.AWS
	Azure *credfile.Azure
	GCP   *credfile.GCP
	// File is the path of the credentials file when the credential is from one.
	File string
	// Content is the whole credentials file when the credential is from one that
	// a secret holds.
	Content credfile.Sensitive
}

// Find returns the credential for a location, or one error that lists what was
// tried and why it failed. Both can be kept for the rest of a backup, unless
// ctx has ended, in which case the error is that of ctx.
func (f Finder) Find(ctx context.Context, req Request) (*Found, error) {
	f = f.withDefaults()
	l, err := f.location(ctx, req)
	if err != nil {
		return nil, err
	}
	p, ok := providerOf(l.ProviderKind())
	if !ok {
		return nil, unsupported(l)
	}
	s := search{Finder: f, ctx: ctx, location: l, provider: p}
	found := s.run()
	bundle, bundleErr := s.caBundle()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("finding the image credential of backup storage location %s/%s: %w", l.Namespace, l.Name, context.Cause(ctx))
	}
	if found == nil {
		return nil, s.failure(req)
	}
	if bundleErr != nil {
		return nil, bundleErr
	}
	found.CABundle = bundle
	return found, nil
}

func (f Finder) withDefaults() Finder {
	if f.ReadFile == nil {
		f.ReadFile = os.ReadFile
	}
	if f.Getenv == nil {
		f.Getenv = os.Getenv
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	return f
}

func (f Finder) location(ctx context.Context, req Request) (*location.Location, error) {
	obj, err := f.Location(ctx, req.Namespace, req.Location)
	if err == nil && obj == nil {
		err = errNoObject
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading backup storage location %s/%s: %w", req.Namespace, req.Location, context.Cause(ctx))
		}
		return nil, locationUnreadable(req, err)
	}
	l, err := location.FromObject(obj)
	if err != nil {
		return nil, err
	}
	if l.Kind != location.BackupStorage {
		return nil, locationUnreadable(req, fmt.Errorf("it is a %s", l.Kind))
	}
	// The request is what was asked for, whatever the object says of itself.
	l.Namespace, l.Name = req.Namespace, req.Location
	return l, nil
}
