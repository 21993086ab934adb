package velerocompat

import (
	"context"
	"io"
	"time"

	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

type objectStore struct{ *instance[velero.ObjectStore] }

func (o objectStore) Init(_ context.Context, config map[string]string) error {
	store, err := o.get()
	if err != nil {
		return err
	}
	return store.Init(config)
}

func (o objectStore) PutObject(_ context.Context, bucket, key string, body io.Reader) error {
	store, err := o.get()
	if err != nil {
		return err
	}
	return store.PutObject(bucket, key, body)
}

func (o objectStore) ObjectExists(_ context.Context, bucket, key string) (bool, error) {
	store, err := o.get()
	if err != nil {
		return false, err
	}
	return store.ObjectExists(bucket, key)
}

func (o objectStore) GetObject(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	store, err := o.get()
	if err != nil {
		return nil, err
	}
	return store.GetObject(bucket, key)
}

func (o objectStore) ListCommonPrefixes(_ context.Context, bucket, prefix, delimiter string) ([]string, error) {
	store, err := o.get()
	if err != nil {
		return nil, err
	}
	return store.ListCommonPrefixes(bucket, prefix, delimiter)
}

func (o objectStore) ListObjects(_ context.Context, bucket, prefix string) ([]string, error) {
	store, err := o.get()
	if err != nil {
		return nil, err
	}
	return store.ListObjects(bucket, prefix)
}

func (o objectStore) DeleteObject(_ context.Context, bucket, key string) error {
	store, err := o.get()
	if err != nil {
		return err
	}
	return store.DeleteObject(bucket, key)
}

func (o objectStore) CreateSignedURL(_ context.Context, bucket, key string, ttl time.Duration) (string, error) {
	store, err := o.get()
	if err != nil {
		return "", err
	}
	return store.CreateSignedURL(bucket, key, ttl)
}
