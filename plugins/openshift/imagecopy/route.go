package imagecopy

import (
	"context"
	"log/slog"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/internal/images/registry"
	"github.com/oadp-plugins/oadp-plugins/internal/kube"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/settings"
	"github.com/opencontainers/go-digest"
)

// imageRoute is the way of images from the registry of the cluster to where they
// are kept, or back.
type imageRoute struct {
	copier *images.Copier
	copied *kube.Memo[images.Result] // by what was copied
	atOnce int                       // images that are copied at a time
	owner  string                    // what the bucket's index of images knows the backup by, if it does
}

// copy copies an image from repositories into others, once for all that ask for
// it.
func (r imageRoute) copy(ctx context.Context, d digest.Digest, from, into []string) (images.Result, error) {
	key := strings.Join(into, "@") + "@" + d.String()
	return r.copied.Get(ctx, key, func(ctx context.Context) (images.Result, error) {
		return r.copier.Copy(ctx, images.Image{Digest: d, Sources: from, Repositories: into})
	})
}

// keep is where images are between a backup and its restore: the bucket of a
// backup storage location, or the registry of a migration.
type keep struct {
	source images.Source // for a restore
	target images.Target // for a backup
	owner  string        // as of an imageRoute
}

// routeOut returns the way out of the registry of that host. done frees it.
func (i *Images) routeOut(ctx context.Context, b *velero.Backup, host, kept, who string) (route imageRoute, done func(), err error) {
	return i.routes.use(ctx, b.Key(host, kept), who, i.openRoute(&b.Task, host, keepIn(kept, i.bucketToWrite(b)), outward))
}

// routeBack returns the way back into the registry of that host. done frees it.
func (i *Images) routeBack(ctx context.Context, r *velero.Restore, host, kept, who string) (route imageRoute, done func(), err error) {
	return i.routes.use(ctx, r.Key(host, kept), who, i.openRoute(&r.Task, host, keepIn(kept, i.bucketToRead(r)), homeward))
}

type direction func(inside *registry.Client, kept keep) (images.Source, images.Target)

func outward(inside *registry.Client, kept keep) (images.Source, images.Target) {
	return inside, kept.target
}

func homeward(inside *registry.Client, kept keep) (images.Source, images.Target) {
	return kept.source, inside
}

func (i *Images) openRoute(t *velero.Task, host string, open opener[keep], direct direction) opener[imageRoute] {
	return func(ctx context.Context) (route imageRoute, done func(), err error) {
		s, err := i.settings()
		if err != nil {
			return route, nil, err
		}
		kept, done, err := open(ctx)
		if err != nil {
			return route, nil, err
		}
		inside, err := i.internalRegistry(ctx, t, host, s.Bool(settings.Insecure))
		if err != nil {
			done()
			return route, nil, err
		}
		from, to := direct(inside, kept)
		limits := images.Limits{Images: s.Int(settings.CopyImages), Blobs: s.Int(settings.CopyBlobs)}
		return imageRoute{
			copier: images.NewCopier(from, to, limits, slog.Default()),
			copied: &kube.Memo[images.Result]{Lifetime: kube.WholeTask},
			atOnce: limits.Images,
			owner:  kept.owner,
		}, func() { inside.Close(); done() }, nil
	}
}

// bucketToWrite opens the bucket of the backup's location.
func (i *Images) bucketToWrite(b *velero.Backup) opener[keep] {
	return func(ctx context.Context) (keep, func(), error) {
		opened, done, err := i.storages.use(ctx, b.Key(), "", i.openStorage(locationOf(b)))
		if err != nil {
			return keep{}, nil, err
		}
		owner, err := i.ownerOf(ctx, b, opened.location)
		if err == nil && opened.location.Prefix == "" {
			err = noPrefix(opened.location)
		}
		if err != nil {
			done()
			return keep{}, nil, err
		}
		return keep{target: layout.NewTree(opened, owner, slog.Default()), owner: owner.Owner()}, done, nil
	}
}

// bucketToRead opens the bucket that a restore is from.
func (i *Images) bucketToRead(r *velero.Restore) opener[keep] {
	return func(ctx context.Context) (keep, func(), error) {
		tree, done, err := i.treeToRead(ctx, r)
		return keep{source: tree}, done, err
	}
}

// treeToRead returns the images of the backup that a restore is from.
func (i *Images) treeToRead(ctx context.Context, r *velero.Restore) (*layout.RestoreTree, func(), error) {
	opened, done, err := i.storages.use(ctx, r.Key(), "", func(ctx context.Context) (storage, func(), error) {
		request, err := i.storageOf(ctx, r)
		if err != nil {
			return storage{}, nil, err
		}
		return i.openStorage(request)(ctx)
	})
	if err != nil {
		return nil, nil, err
	}
	l := opened.location
	readOnly, err := i.isReadOnly(ctx, l)
	if err != nil {
		done()
		return nil, nil, err
	}
	tree := layout.NewRestoreTree(opened, layout.Backup{Prefix: l.Prefix, Name: r.Spec.BackupName}, slog.Default())
	tree.Writable = !readOnly
	return tree, done, nil
}

// keepIn opens what the kept images are in: the bucket, or the registry of a
// migration, which lets everybody in and has no certificate that could be
// verified.
func keepIn(kept string, bucket opener[keep]) opener[keep] {
	if kept == Bucket {
		return bucket
	}
	return func(context.Context) (keep, func(), error) {
		client, err := registry.New(registry.Config{Host: kept, Insecure: true, Log: slog.Default()})
		if err != nil {
			return keep{}, nil, badMigrationRegistry(kept, err)
		}
		return keep{source: client, target: client}, client.Close, nil
	}
}

// internalRegistry returns a client of the cluster's own registry, which takes
// the token of the plugin's own access to the cluster.
func (i *Images) internalRegistry(ctx context.Context, t *velero.Task, host string, insecure bool) (*registry.Client, error) {
	if host == "" {
		return nil, noRegistry()
	}
	if _, err := i.cluster.Token(); err != nil {
		return nil, err
	}
	return registry.New(registry.Config{
		Host: host,
		Credential: func(context.Context) (user, password string, err error) {
			token, err := i.cluster.Token()
			return "ignored", token, err
		},
		CAs:      i.registryAuthorities(ctx, veleroNamespace(t)),
		Insecure: insecure,
		Log:      slog.Default(),
	})
}
