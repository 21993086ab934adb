package imagecopy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/oadp-plugins/oadp-plugins/internal/fields"
	"github.com/oadp-plugins/oadp-plugins/internal/images/layout"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/open"
	"github.com/oadp-plugins/oadp-plugins/internal/velero"
	"github.com/oadp-plugins/oadp-plugins/plugins/openshift/api"
	"github.com/oadp-plugins/oadp-plugins/sdk/location"
	"github.com/oadp-plugins/oadp-plugins/sdk/registrysecret"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// storage is the bucket of a backup storage location.
type storage struct {
	objectstore.Bucket
	location *location.Location
}

// openStorage opens the bucket of a location with the first credential that is
// found for it.
func (i *Images) openStorage(request registrysecret.Request) opener[storage] {
	return func(ctx context.Context) (storage, func(), error) {
		finder := registrysecret.Finder{
			Location: i.locationObject,
			Secret:   i.secretObject,
			Ambient:  open.Ambient,
			Log:      slog.Default(),
		}
		found, err := finder.Find(ctx, request)
		if err != nil {
			return storage{}, nil, err
		}
		bucket, err := open.Bucket(ctx, found, slog.Default())
		if err != nil {
			return storage{}, nil, err
		}
		if err := answers(ctx, bucket); err != nil {
			_ = bucket.Close()
			return storage{}, nil, err
		}
		slog.Info("a bucket for images is open", "bucket", found.Location.Bucket,
			"backupStorageLocation", found.Location.Name, "credential", found.From)
		opened := storage{bucket, found.Location}
		if bucket.SlashedImageKeys {
			opened.Bucket = layout.BothSpellings(bucket)
		}
		return opened, func() { _ = bucket.Close() }, nil
	}
}

// answers finds out whether the bucket lets the plugin in, so that a credential
// which is not accepted is told of once.
func answers(ctx context.Context, bucket objectstore.Bucket) error {
	for _, err := range bucket.List(ctx, "docker/registry/") {
		return err
	}
	return nil
}

// veleroNamespace is where Velero's own objects are.
func veleroNamespace(t *velero.Task) string {
	if namespace := os.Getenv("VELERO_NAMESPACE"); namespace != "" {
		return namespace
	}
	return t.Metadata.Namespace
}

// isReadOnly reports whether nothing may be written to a location.
func (i *Images) isReadOnly(ctx context.Context, l *location.Location) (bool, error) {
	object, err := i.locationObject(ctx, l.Namespace, l.Name)
	return fields.TextAt(object, "spec", "accessMode") == "ReadOnly", err
}

func (i *Images) locationObject(ctx context.Context, namespace, name string) (map[string]any, error) {
	object, err := i.existing(ctx, api.BackupStorageLocations, namespace, name)
	if err != nil {
		return nil, err
	}
	return object.Object, nil
}

func (i *Images) secretObject(ctx context.Context, namespace, name string) (*registrysecret.Secret, error) {
	object, err := i.existing(ctx, api.Secrets, namespace, name)
	if err != nil {
		return nil, err
	}
	secret := &registrysecret.Secret{Data: map[string][]byte{}}
	for key, text := range fields.StringMap(fields.MapAt(object.Object, "data")) {
		// The API server encodes what it gives out.
		if secret.Data[key], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("key %s is not encoded as base64", key)
		}
	}
	for owner := range fields.Each(fields.ListAt(object.Object, "metadata", "ownerReferences")) {
		secret.OwnerKinds = append(secret.OwnerKinds, fields.TextAt(owner, "kind"))
	}
	return secret, nil
}

// existing reads an object. What the API refuses is an error of the API alone,
// without what the client says of it: those who look for a credential say it
// better.
func (i *Images) existing(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	object, err := i.cluster.Get(ctx, resource, namespace, name)
	var refused *apierrors.StatusError
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err == nil && object == nil {
		err = apierrors.NewNotFound(resource.GroupResource(), name)
	}
	return object, err
}

// locationOf names the storage location of a backup.
func locationOf(b *velero.Backup) registrysecret.Request {
	return registrysecret.Request{Namespace: veleroNamespace(&b.Task), Location: b.Spec.StorageLocation, Backup: b.Metadata.Name}
}

// storageOf names the storage location of the backup that a restore is from.
func (i *Images) storageOf(ctx context.Context, r *velero.Restore) (registrysecret.Request, error) {
	namespace := veleroNamespace(&r.Task)
	backup, err := i.existing(ctx, api.Backups, namespace, r.Spec.BackupName)
	if err != nil {
		return registrysecret.Request{}, backupUnreadable(r, err)
	}
	return registrysecret.Request{
		Namespace: namespace,
		Location:  fields.TextAt(backup.Object, "spec", "storageLocation"),
		Backup:    r.Spec.BackupName,
	}, nil
}

// ownerOf is what the bucket's index of images knows a backup by.
func (i *Images) ownerOf(ctx context.Context, b *velero.Backup, l *location.Location) (layout.Backup, error) {
	cluster, err := i.clusterID(ctx)
	return layout.Backup{
		Cluster: cluster, Namespace: l.Namespace, Location: l.Name, Prefix: l.Prefix,
		Name: b.Metadata.Name, UID: b.Metadata.UID,
	}, err
}

// clusterID tells clusters apart that share a bucket.
func (i *Images) clusterID(ctx context.Context) (string, error) {
	version, err := i.cluster.Get(ctx, api.ClusterVersions, "", "version")
	if err != nil {
		return "", err
	}
	if version != nil {
		if id := fields.TextAt(version.Object, "spec", "clusterID"); id != "" {
			return id, nil
		}
	}
	system, err := i.existing(ctx, api.Namespaces, "", "kube-system")
	if err != nil {
		return "", fmt.Errorf("finding the id of the cluster: %w", err)
	}
	return string(system.GetUID()), nil
}
