package stack

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/oadp-plugins/oadp-plugins/test/stack/tools"
)

// Azurite is two servers of Azure's Blob storage with the same account and
// separate data: one over plain HTTP, and one over TLS, which takes tokens of
// Microsoft Entra ID besides the account's key. Of a token it checks the times,
// the issuer and the audience, but not the signature.
type Azurite struct {
	// Endpoint and TLSEndpoint are the base URLs of the account, such as
	// http://127.0.0.1:10000/stackaccount.
	Endpoint, TLSEndpoint string
	// CAPEM is the certificate authority of the TLS endpoint.
	CAPEM []byte
	// Account is the account's name, and Key its key.
	Account, Key string

	plain, secure *server
}

// ErrNoAzurite says that Azurite can neither be found nor installed on a machine.
var ErrNoAzurite = errors.New("no Azurite: it takes Node.js and, for the first time, npm and the network")

// Azurite returns the servers that the tests of a package share. The first call
// starts them. Without Azurite the test fails.
func (s *Stack) Azurite(t testing.TB) *Azurite {
	t.Helper()
	if _, err := s.Command(tools.AzuriteBlob); err != nil {
		t.Fatalf("%v (install Debian's packages nodejs and npm): %v", ErrNoAzurite, err)
	}
	a := s.azurite.get(t, s.StartAzurite)
	a.plain.attach(t)
	a.secure.attach(t)
	return a
}

// StartAzurite starts the servers and waits until they serve.
func (s *Stack) StartAzurite(ctx context.Context) (*Azurite, error) {
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails
	a := &Azurite{Account: "stackaccount", Key: base64.StdEncoding.EncodeToString(key)}
	folder, err := s.folder("azurite")
	if err != nil {
		return nil, err
	}
	ca, err := NewAuthority("Azurite of the test stack")
	if err != nil {
		return nil, err
	}
	a.CAPEM = ca.PEM
	cert, private, err := ca.Issue("azurite", net.ParseIP(NodeAddress))
	if err != nil {
		return nil, err
	}
	if err := writeFiles(folder, map[string][]byte{"public.crt": cert, "private.key": private}); err != nil {
		return nil, err
	}
	if a.plain, a.Endpoint, err = s.startAzurite("azurite", a, "http"); err != nil {
		return nil, err
	}
	a.secure, a.TLSEndpoint, err = s.startAzurite("azurite-tls", a, "https", "--oauth", "basic",
		"--cert", filepath.Join(folder, "public.crt"), "--key", filepath.Join(folder, "private.key"))
	if err != nil {
		return nil, err
	}
	if err := a.plain.await(ctx, a.serves(a.Endpoint)); err != nil {
		return nil, err
	}
	return a, a.secure.await(ctx, a.serves(a.TLSEndpoint))
}

func (s *Stack) startAzurite(name string, a *Azurite, scheme string, args ...string) (p *server, endpoint string, err error) {
	address, err := s.clientAddress()
	if err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	args = append([]string{
		"--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent",
	}, args...)
	p, err = s.start(name, tools.AzuriteBlob, []string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key}, args...)
	return p, scheme + "://" + address + "/" + a.Account, err
}

// serves returns a check that a client of the account gets an answer.
func (a *Azurite) serves(endpoint string) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := a.Client(endpoint)
		if err != nil {
			return err
		}
		_, err = client.GetProperties(ctx, nil)
		return err
	}
}

// Transport trusts the certificate authority of the TLS endpoint.
func (a *Azurite) Transport() *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.CAPEM)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// Client is a client of one of the endpoints with the account's key.
func (a *Azurite) Client(endpoint string) (*service.Client, error) {
	key, err := service.NewSharedKeyCredential(a.Account, a.Key)
	if err != nil {
		return nil, err
	}
	return service.NewClientWithSharedKeyCredential(endpoint, key, &service.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &http.Client{Transport: a.Transport()},
	}})
}

// NewContainer makes an empty container at both endpoints and returns its name.
// It is removed with its content at the end of the test.
func (a *Azurite) NewContainer(t testing.TB) string {
	t.Helper()
	name := "container-" + strings.ToLower(rand.Text()[:12])
	for _, endpoint := range []string{a.Endpoint, a.TLSEndpoint} {
		client, err := a.Client(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CreateContainer(t.Context(), name, nil); err != nil {
			t.Fatalf("make a container at %s: %v", endpoint, err)
		}
		t.Cleanup(func() {
			_, err := client.DeleteContainer(context.Background(), name, nil)
			if err != nil && !bloberror.HasCode(err, bloberror.ContainerNotFound) {
				t.Errorf("remove the container at %s: %v", endpoint, err)
			}
		})
	}
	return name
}
