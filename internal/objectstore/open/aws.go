package open

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/s3"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
)

// openS3 opens a bucket of AWS or of a store that speaks its protocol.
func openS3(ctx context.Context, found *registrysecret.Found, log *slog.Logger) (objectstore.BucketCloser, error) {
	config, given, err := s3Config(ctx, found)
	if err != nil {
		return nil, err
	}
	store := s3.New(log, s3.WithMemory(bufferMemory), s3.WithCredential(given))
	b := &bucket[s3.Object]{store, found.Location, found.From, s3.CodeAccessDenied}
	if _, err := store.Init(ctx, sdk.InitInput{Config: config}); err != nil {
		store.Close()
		if errors.Is(err, s3.CodeRegionUnknown) {
			return nil, registrysecret.NewRegionError(found.Location, err)
		}
		return nil, b.named(err)
	}
	return b, nil
}

// s3Config returns the configuration for a location with the credential that was
// found, which is nil if the configuration says where it is.
func s3Config(ctx context.Context, found *registrysecret.Found) (map[string]string, *awsaccess.Given, error) {
	config := found.Location.InitConfig(found.CABundle)
	if config["s3Url"] != "" && config["s3ForcePathStyle"] == "" {
		config["s3ForcePathStyle"] = "true" // as images have always been stored
	}
	delete(config, location.CredentialsFileKey)
	c := found.Credential
	given := &awsaccess.Given{From: found.From, Author: authorOf(found), Content: c.Content}
	switch {
	case c.File != "":
		text, err := credfile.ReadFile(ctx, c.File, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("error reading the credentials of %s: %w", found.From, err)
		}
		given.Content = credfile.Sensitive(text)
	case c.Content != "":
	case found.Source == registrysecret.RegistrySecret:
		given.AccessKeyID, given.SecretAccessKey = c.AWS.AccessKeyID, c.AWS.SecretAccessKey
	default:
		// The environment, the pod or the machine: no file has the profile.
		delete(config, "profile")
		given = nil
	}
	return config, given, nil
}

// ambientAWS looks for an identity in the environment, the pod and the machine.
func ambientAWS(ctx context.Context, l *location.Location) error {
	region := l.Config["region"]
	if l.Config["s3Url"] != "" {
		region = "" // it is the store's own, which AWS need not know
	}
	return awsaccess.Ambient(ctx, awsaccess.Trust(l.CACert, false, ""), region)
}
