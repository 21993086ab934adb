package main

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/sdk/credfile"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// The plugin that ours replaces copies one image after the other, so many layers
// at a time. What a repository has is not sent again, but repositories do not
// know of each other. A stock registry within the plugin writes to the bucket;
// here it is a process of its own.
const referenceLayers = 6

// referenceRegistry is a backup as the plugin does it that ours replaces.
func (s *site) referenceRegistry(ctx context.Context, w *workload, _ int) (reading, error) {
	const bucket = "reference"
	if err := s.buckets.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return reading{}, err
	}
	registry, err := s.servers.StartRegistry(ctx, stack.RegistryOptions{
		Bucket: &stack.RegistryBucket{MinIO: s.store, Endpoint: s.store.Endpoint, Name: bucket},
	})
	if err != nil {
		return reading{}, err
	}
	defer registry.Stop()
	target, err := name.NewRegistry(registry.Host)
	if err != nil {
		return reading{}, err
	}
	begin := time.Now()
	for _, one := range w.images {
		image, err := s.open(ctx, w, one)
		if err != nil {
			return reading{}, err
		}
		to := target.Repo(w.shape.name, one.stream).Tag(one.tag)
		if err := remote.Write(to, image, remote.WithContext(ctx), remote.WithJobs(referenceLayers)); err != nil {
			return reading{}, err
		}
	}
	return reading{took: time.Since(begin)}, s.removeBucket(ctx, bucket)
}

// referenceBucket is the same without a registry in front of the bucket, with
// our own store.
func (s *site) referenceBucket(ctx context.Context, w *workload, _ int) (reading, error) {
	const name = "direct"
	if err := s.buckets.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
		return reading{}, err
	}
	bucket, err := s.openBucket(ctx, name)
	if err != nil {
		return reading{}, err
	}
	defer bucket.Close()
	begin := time.Now()
	sent := map[string]bool{}
	for _, one := range w.images {
		image, err := s.open(ctx, w, one)
		if err != nil {
			return reading{}, err
		}
		if err := putLayers(ctx, bucket, one.stream, image, sent); err != nil {
			return reading{}, err
		}
	}
	return reading{took: time.Since(begin)}, s.removeBucket(ctx, name)
}

// open opens an image through the link.
func (s *site) open(ctx context.Context, w *workload, one streamed) (v1.Image, error) {
	digest := s.inside.name.Repo(w.shape.name, one.stream).Digest(one.digest.String())
	return remote.Image(digest, append(s.inside.access, remote.WithContext(ctx))...)
}

func putLayers(ctx context.Context, bucket objectstore.Bucket, repository string, image v1.Image, sent map[string]bool) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(referenceLayers)
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		key := path.Join(repository, digest.String())
		if sent[key] {
			continue
		}
		sent[key] = true
		group.Go(func() error {
			content, err := layer.Compressed()
			if err != nil {
				return err
			}
			defer content.Close()
			return bucket.Put(ctx, key, content)
		})
	}
	return group.Wait()
}

func (s *site) openBucket(ctx context.Context, name string) (*open.Opened, error) {
	l := s.location(name)
	return open.Bucket(ctx, &registrysecret.Found{
		Provider: "aws", Source: registrysecret.LocationCredential, From: "the test stack",
		Location: &location.Location{Namespace: stack.VeleroNamespace, Name: name, Provider: l.Provider, Bucket: name, Config: l.Config},
		Credential: registrysecret.Credential{
			AWS:     &credfile.AWS{AccessKeyID: s.store.AccessKey, SecretAccessKey: credfile.Sensitive(s.store.SecretKey)},
			Content: credfile.Sensitive(l.Credential),
		},
	}, slog.New(slog.DiscardHandler))
}

func (s *site) removeBucket(ctx context.Context, name string) error {
	if err := s.buckets.RemoveBucketWithOptions(ctx, name, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
		return fmt.Errorf("remove bucket %s: %w", name, err)
	}
	return nil
}
