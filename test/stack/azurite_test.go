package stack_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// Both servers keep blobs, and refuse a wrong key.
func TestAzurite(t *testing.T) {
	a := servers.Azurite(t)
	container := a.NewContainer(t)
	for _, endpoint := range []string{a.Endpoint, a.TLSEndpoint} {
		client, err := a.Client(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		blob := client.NewContainerClient(container).NewBlockBlobClient("folder/blob")
		content := strings.Repeat(endpoint, 1000)
		if _, err := blob.Upload(t.Context(), streaming.NopCloser(strings.NewReader(content)), nil); err != nil {
			t.Fatal(err)
		}
		response, err := blob.DownloadStream(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(response.Body); err != nil || got.String() != content {
			t.Errorf("%s: %d bytes, %v", endpoint, got.Len(), err)
		}
		stranger := *a
		stranger.Key = strings.Repeat("A", 86) + "=="
		if client, err = stranger.Client(endpoint); err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetProperties(t.Context(), nil); !bloberror.HasCode(err, bloberror.AuthorizationFailure, bloberror.InvalidAuthenticationInfo) {
			t.Errorf("%s: error with a wrong key: %v", endpoint, err)
		}
	}
}
