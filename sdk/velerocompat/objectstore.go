package velerocompat

import (
	"context"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

type objectStore struct{ *instance[velero.ObjectStore] }

func (o objectStore) Init(_ context.Context, in sdk.InitInput) (sdk.InitResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.InitResult{}, err
	}
	return sdk.InitResult{}, store.Init(in.Config)
}

func (o objectStore) PutObject(_ context.Context, in sdk.PutObjectInput) (sdk.PutObjectResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.PutObjectResult{}, err
	}
	return sdk.PutObjectResult{}, store.PutObject(in.Bucket, in.Key, in.Body)
}

func (o objectStore) ObjectExists(_ context.Context, in sdk.ObjectExistsInput) (sdk.ObjectExistsResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.ObjectExistsResult{}, err
	}
	exists, err := store.ObjectExists(in.Bucket, in.Key)
	return sdk.ObjectExistsResult{Exists: exists}, err
}

func (o objectStore) GetObject(_ context.Context, in sdk.GetObjectInput) (sdk.GetObjectResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.GetObjectResult{}, err
	}
	body, err := store.GetObject(in.Bucket, in.Key)
	return sdk.GetObjectResult{Body: body}, err
}

func (o objectStore) ListCommonPrefixes(_ context.Context, in sdk.ListCommonPrefixesInput) (sdk.ListCommonPrefixesResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.ListCommonPrefixesResult{}, err
	}
	prefixes, err := store.ListCommonPrefixes(in.Bucket, in.Prefix, in.Delimiter)
	return sdk.ListCommonPrefixesResult{Prefixes: prefixes}, err
}

func (o objectStore) ListObjects(_ context.Context, in sdk.ListObjectsInput) (sdk.ListObjectsResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.ListObjectsResult{}, err
	}
	keys, err := store.ListObjects(in.Bucket, in.Prefix)
	return sdk.ListObjectsResult{Keys: keys}, err
}

func (o objectStore) DeleteObject(_ context.Context, in sdk.DeleteObjectInput) (sdk.DeleteObjectResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.DeleteObjectResult{}, err
	}
	return sdk.DeleteObjectResult{}, store.DeleteObject(in.Bucket, in.Key)
}

func (o objectStore) CreateSignedURL(_ context.Context, in sdk.CreateSignedURLInput) (sdk.CreateSignedURLResult, error) {
	store, err := o.get()
	if err != nil {
		return sdk.CreateSignedURLResult{}, err
	}
	url, err := store.CreateSignedURL(in.Bucket, in.Key, in.TTL)
	return sdk.CreateSignedURLResult{URL: url}, err
}
