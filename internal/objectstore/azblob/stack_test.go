package azblob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	azurefake "github.com/oadp-plugins/oadp-plugins/test/fakes/azure"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
	"github.com/oadp-plugins/oadp-plugins/test/support/testlog"
)

var servers stack.Stack

func TestMain(m *testing.M) { servers.Main(m, tools.Azurite) }

const mib = 1 << 20

// blockSize is small, to keep tests quick.
const blockSize = 256 << 10

// scene is a container with a store under test and an independent client.
type scene struct {
	t        testing.TB
	azurite  *stack.Azurite
	endpoint string // of the real server
	bucket   string
	client   *container.Client
	config   map[string]string
	log      *testlog.Log
}

// overTLS and overHTTP name the two servers.
const (
	overTLS  = true
	overHTTP = false
)

func newScene(t testing.TB, secure bool) *scene {
	t.Helper()
	azurefake.ClearEnvironment(t)
	a := servers.Azurite(t)
	s := &scene{t: t, azurite: a, endpoint: a.Endpoint, bucket: a.NewContainer(t), log: testlog.New()}
	if secure {
		s.endpoint = a.TLSEndpoint
	}
	client, err := a.Client(s.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client.NewContainerClient(s.bucket)
	s.config = map[string]string{
		"bucket": s.bucket, "prefix": "velero", "storageAccount": a.Account, "storageAccountURI": s.endpoint,
		"storageAccountKeyEnvVar": "AZURE_STORAGE_ACCOUNT_ACCESS_KEY", "blockSizeInBytes": fmt.Sprint(blockSize),
		"credentialsFile": testfile.Write(t, "AZURE_STORAGE_ACCOUNT_ACCESS_KEY="+a.Key+"\n"),
	}
	if secure {
		s.config["caCert"] = string(a.CAPEM)
	}
	return s
}

// open returns a store with the scene's configuration and these keys and values.
func (s *scene) open(config ...string) (*store, error) {
	s.t.Helper()
	all := maps.Clone(s.config)
	for i := 0; i < len(config); i += 2 {
		if all[config[i]] = config[i+1]; config[i+1] == "" {
			delete(all, config[i])
		}
	}
	st := &store{azblob.New(s.log.Logger()), s.bucket}
	s.t.Cleanup(st.Close)
	_, err := st.Init(s.t.Context(), sdk.InitInput{Config: all})
	return st, err
}

func (s *scene) mustOpen(config ...string) *store {
	s.t.Helper()
	st, err := s.open(config...)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// behind returns the address of the server behind a proxy that does something
// with each request before it passes it on, or in place of that.
func (s *scene) behind(meddle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) string {
	s.t.Helper()
	target, err := url.Parse(s.endpoint)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	proxy.Transport = s.azurite.Transport()
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { meddle(w, r, proxy) }))
	s.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + target.Path
}

// store calls the methods of a store for one container.
type store struct {
	*azblob.Store
	bucket string
}

func (s *store) put(ctx context.Context, key string, body io.Reader) error {
	_, err := s.PutObject(ctx, sdk.PutObjectInput{Bucket: s.bucket, Key: key, Body: body})
	return err
}

func (s *store) get(ctx context.Context, key string) ([]byte, error) {
	out, err := s.GetObject(ctx, sdk.GetObjectInput{Bucket: s.bucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (s *store) exists(ctx context.Context, key string) (bool, error) {
	out, err := s.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: s.bucket, Key: key})
	return out.Exists, err
}

func (s *store) delete(ctx context.Context, key string) error {
	_, err := s.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: s.bucket, Key: key})
	return err
}

func (s *store) list(ctx context.Context, prefix string) ([]string, error) {
	out, err := s.ListObjects(ctx, sdk.ListObjectsInput{Bucket: s.bucket, Prefix: prefix})
	return out.Keys, err
}

func (s *store) prefixes(ctx context.Context, prefix string) ([]string, error) {
	out, err := s.ListCommonPrefixes(ctx, sdk.ListCommonPrefixesInput{Bucket: s.bucket, Prefix: prefix, Delimiter: "/"})
	return out.Prefixes, err
}

// blocks returns the names of a blob's blocks.
func (s *scene) blocks(key string, which blockblob.BlockListType) []string {
	s.t.Helper()
	out, err := s.client.NewBlockBlobClient(key).GetBlockList(s.t.Context(), which, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, b := range append(out.CommittedBlocks, out.UncommittedBlocks...) {
		names = append(names, *b.Name)
	}
	return names
}

// read returns a blob as an independent client sees it.
func (s *scene) read(key string) []byte {
	s.t.Helper()
	out, err := s.client.NewBlobClient(key).DownloadStream(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Body.Close()
	content, err := io.ReadAll(out.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return content
}

// write stores a blob by an independent client.
func (s *scene) write(key string, content []byte) {
	s.t.Helper()
	if _, err := s.client.NewBlockBlobClient(key).UploadBuffer(s.t.Context(), content, nil); err != nil {
		s.t.Fatal(err)
	}
}

func random(size int) []byte {
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
	_, _ = r.Read(content)
	return content
}

// stream hides that a body is in memory.
func stream(content []byte) io.Reader { return io.MultiReader(bytes.NewReader(content)) }

// says fails unless an error has all of the words.
func says(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q is not in: %v", what, w, err)
		}
	}
}

var errBody = errors.New("the body broke")

// sas returns a shared access signature of the container with all that a location
// needs.
func (s *scene) sas() (string, error) {
	permissions := sas.ContainerPermissions{Read: true, Add: true, Create: true, Write: true, Delete: true, List: true}
	address, err := s.client.GetSASURL(permissions, time.Now().Add(time.Hour), nil)
	_, query, _ := strings.Cut(address, "?")
	return query, err
}
