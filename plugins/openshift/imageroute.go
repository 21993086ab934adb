package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/internal/images/registry"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
)

// imageRoute is the way of images from the registry of the cluster to where they
// are kept, or back.
type imageRoute struct {
	copier *images.Copier
	copied *kube.Memo[images.Result] // by what was copied
	atOnce int                       // images that are copied at a time
	owner  string                    // what the bucket's index of images knows the backup by, if it does
}

// copy copies an image into repositories, once for all that ask for it.
func (r imageRoute) copy(ctx context.Context, image plannedImage, into []string) (images.Result, error) {
	key := strings.Join(into, "@") + "@" + image.digest.String()
	return r.copied.Get(ctx, key, func(ctx context.Context) (images.Result, error) {
		return r.copier.Copy(ctx, images.Image{Digest: image.digest, Sources: image.repositories, Repositories: into})
	})
}

// place is where images are read from and written to.
type place interface {
	images.Source
	images.Target
}

// keep is where images are between a backup and its restore: the bucket of a
// backup storage location, or the registry of a migration.
type keep struct {
	place
	owner string // as of an imageRoute
}

// routeOut returns the way out of the registry of that host. done frees it.
func (a *actions) routeOut(ctx context.Context, b *storedBackup, host, kept, who string) (route imageRoute, done func(), err error) {
	return a.routes.use(ctx, b.key(host, kept), who, a.openRoute(&b.task, host, keepIn(kept, a.bucketToWrite(b)), outward))
}

// routeBack returns the way back into the registry of that host. done frees it.
func (a *actions) routeBack(ctx context.Context, r *restore, host, kept, who string) (route imageRoute, done func(), err error) {
	return a.routes.use(ctx, r.key(host, kept), who, a.openRoute(&r.task, host, keepIn(kept, a.bucketToRead(r)), homeward))
}

type direction func(inside, kept place) (from, to place)

func outward(inside, kept place) (from, to place)  { return inside, kept }
func homeward(inside, kept place) (from, to place) { return kept, inside }

func (a *actions) openRoute(t *task, host string, open opener[keep], direct direction) opener[imageRoute] {
	return func(ctx context.Context) (route imageRoute, done func(), err error) {
		s, err := a.settings()
		if err != nil {
			return route, nil, err
		}
		kept, done, err := open(ctx)
		if err != nil {
			return route, nil, err
		}
		inside, err := a.internalRegistry(ctx, t, host, s.Bool(insecureSetting))
		if err != nil {
			done()
			return route, nil, err
		}
		from, to := direct(inside, kept.place)
		limits := images.Limits{Images: s.Int(copyImagesSetting), Blobs: s.Int(copyBlobsSetting)}
		return imageRoute{
			copier: images.NewCopier(from, to, limits, slog.Default()),
			copied: &kube.Memo[images.Result]{Lifetime: wholeTask},
			atOnce: limits.Images,
			owner:  kept.owner,
		}, func() { inside.Close(); done() }, nil
	}
}

// bucketToWrite opens the bucket of the backup's location.
func (a *actions) bucketToWrite(b *storedBackup) opener[keep] {
	return func(ctx context.Context) (keep, func(), error) {
		opened, done, err := a.storages.use(ctx, b.key(), "", a.openStorage(b.storage()))
		if err != nil {
			return keep{}, nil, err
		}
		owner, err := a.ownerOf(ctx, b, opened.location)
		if err != nil {
			done()
			return keep{}, nil, err
		}
		return keep{layout.NewTree(opened, owner, slog.Default()), owner.Owner()}, done, nil
	}
}

// bucketToRead opens the bucket that a restore is from.
func (a *actions) bucketToRead(r *restore) opener[keep] {
	return func(ctx context.Context) (keep, func(), error) {
		tree, done, err := a.treeToRead(ctx, r)
		return keep{place: tree}, done, err
	}
}

func (a *actions) treeToRead(ctx context.Context, r *restore) (*layout.Tree, func(), error) {
	opened, done, err := a.storages.use(ctx, r.key(), "", func(ctx context.Context) (storage, func(), error) {
		request, err := a.storageOf(ctx, r)
		if err != nil {
			return storage{}, nil, err
		}
		return a.openStorage(request)(ctx)
	})
	if err != nil {
		return nil, nil, err
	}
	return layout.NewTree(opened, layout.Backup{}, slog.Default()), done, nil
}

// keepIn opens what the kept images are in: the bucket, or the registry of a
// migration, which lets everybody in and has no certificate that could be
// verified.
func keepIn(kept string, bucket opener[keep]) opener[keep] {
	if kept == bucketRegistry {
		return bucket
	}
	return func(context.Context) (keep, func(), error) {
		client, err := registry.New(registry.Config{Host: kept, Insecure: true, Log: slog.Default()})
		if err != nil {
			return keep{}, nil, badMigrationRegistry(kept, err)
		}
		return keep{place: client}, client.Close, nil
	}
}

// internalRegistry returns a client of the cluster's own registry, which takes
// the token of the plugin's own access to the cluster.
func (a *actions) internalRegistry(ctx context.Context, t *task, host string, insecure bool) (*registry.Client, error) {
	if host == "" {
		return nil, noRegistry()
	}
	if _, err := a.cluster.Token(); err != nil {
		return nil, err
	}
	return registry.New(registry.Config{
		Host: host,
		Credential: func(context.Context) (user, password string, err error) {
			token, err := a.cluster.Token()
			return "ignored", token, err
		},
		CAs:      a.registryAuthorities(ctx, veleroNamespace(t)),
		Insecure: insecure,
		Log:      slog.Default(),
	})
}
