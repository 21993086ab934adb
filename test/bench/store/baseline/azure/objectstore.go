package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// blockSize is the default of the plugin that is measured against, in bytes.
const blockSize = 1 << 20

type objectStore struct{ client *service.Client }

// Init takes the keys storageAccount, storageAccountURI, storageAccountKeyEnvVar,
// credentialsFile and caCert.
func (o *objectStore) Init(config map[string]string) error {
	text, err := os.ReadFile(config["credentialsFile"])
	if err != nil {
		return err
	}
	var accountKey string
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), config["storageAccountKeyEnvVar"]+"="); ok {
			accountKey = value
		}
	}
	key, err := service.NewSharedKeyCredential(config["storageAccount"], accountKey)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if pem := config["caCert"]; pem != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return err
		}
		roots.AppendCertsFromPEM([]byte(pem))
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	o.client, err = service.NewClientWithSharedKeyCredential(config["storageAccountURI"], key,
		&service.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}}})
	return err
}

func (o *objectStore) container(name string) *container.Client {
	return o.client.NewContainerClient(name)
}

func (o *objectStore) PutObject(bucket, key string, body io.Reader) error {
	blob, block := o.container(bucket).NewBlockBlobClient(key), make([]byte, blockSize)
	var ids []string
	for {
		n, err := io.ReadFull(body, block)
		if n > 0 {
			id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%06d", len(ids)))
			if _, err := blob.StageBlock(context.Background(), id, streaming.NopCloser(bytes.NewReader(block[:n])), nil); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := blob.CommitBlockList(context.Background(), ids, nil)
	return err
}

func (o *objectStore) ObjectExists(bucket, key string) (bool, error) {
	_, err := o.container(bucket).NewBlobClient(key).GetProperties(context.Background(), nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ContainerNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (o *objectStore) GetObject(bucket, key string) (io.ReadCloser, error) {
	out, err := o.container(bucket).NewBlobClient(key).DownloadStream(context.Background(), nil)
	return out.Body, err
}

func (o *objectStore) ListCommonPrefixes(bucket, prefix, delimiter string) ([]string, error) {
	var prefixes []string
	pages := o.container(bucket).NewListBlobsHierarchyPager(delimiter, &container.ListBlobsHierarchyOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return nil, err
		}
		for _, p := range page.Segment.BlobPrefixes {
			prefixes = append(prefixes, *p.Name)
		}
	}
	return prefixes, nil
}

func (o *objectStore) ListObjects(bucket, prefix string) ([]string, error) {
	var keys []string
	pages := o.container(bucket).NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return nil, err
		}
		for _, b := range page.Segment.BlobItems {
			keys = append(keys, *b.Name)
		}
	}
	return keys, nil
}

func (o *objectStore) DeleteObject(bucket, key string) error {
	_, err := o.container(bucket).NewBlobClient(key).Delete(context.Background(), nil)
	return err
}

func (o *objectStore) CreateSignedURL(bucket, key string, ttl time.Duration) (string, error) {
	return o.container(bucket).NewBlobClient(key).GetSASURL(sas.BlobPermissions{Read: true}, time.Now().Add(ttl), nil)
}
