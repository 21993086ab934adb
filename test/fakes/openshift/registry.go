package openshift

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Registry is OpenShift's internal registry as its clients meet it: HTTPS with
// a certificate of the service CA, the rights of the cluster's users, and image
// streams that follow what is pushed. Behind it is a stock registry, which keeps
// manifests and blobs and lets everybody in.
//
// What differs from OpenShift: an image can be pulled only from the repository
// that it was pushed to, also if another image stream names it; and nothing is
// pulled through from other registries.
type Registry struct {
	// Inject makes a fault happen to requests.
	inject.Faults[*http.Request]

	// Host is what the names of images begin with.
	Host string
	// CAPEM is the service CA.
	CAPEM []byte

	cluster *stack.ControlPlane
	server  *httptest.Server
	proxy   *httputil.ReverseProxy
	blobs   *blobServer

	mu       sync.Mutex
	lifetime time.Duration // of tokens
	tokens   map[string]issued
	indexes  map[string][]string // that name a manifest, by its digest
	served   map[string]manifest // by reference
	counts   Counts
}

// StartRegistry starts the registry of a cluster, in front of a stock registry
// that has no other clients. Close ends it.
func StartRegistry(cluster *stack.ControlPlane, backend *stack.Registry) (*Registry, error) {
	target, err := url.Parse(backend.Endpoint)
	if err != nil {
		return nil, err
	}
	transport := backend.Transport()
	transport.MaxIdleConnsPerHost = 100
	r := &Registry{
		cluster:  cluster,
		proxy:    newProxy(target, transport),
		lifetime: defaultLifetime,
		tokens:   map[string]issued{},
		indexes:  map[string][]string{},
		served:   map[string]manifest{},
		counts:   Counts{Requests: map[Request]int{}},
	}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	r.Host = r.server.Listener.Addr().String()
	if err := r.certify(); err != nil {
		return nil, errors.Join(err, r.server.Listener.Close())
	}
	r.blobs = newBlobServer(r.proxy)
	r.server.StartTLS()
	return r, nil
}

// certify makes a service CA and the registry's certificate.
func (r *Registry) certify() error {
	ca, err := stack.NewAuthority("openshift-service-serving-signer")
	if err != nil {
		return err
	}
	certPEM, keyPEM, err := ca.Issue("image-registry.openshift-image-registry.svc", net.ParseIP(stack.NodeAddress))
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	r.CAPEM = ca.PEM
	r.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return err
}

// newProxy passes requests on as if the stock registry were at the host that
// they were sent to. When that registry cannot be reached the client's
// connection breaks.
func newProxy(target *url.URL, transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

// Close ends the registry and all its connections.
func (r *Registry) Close() {
	r.End()
	r.server.CloseClientConnections()
	r.server.Close()
	r.blobs.server.Close()
}

// PublishCA puts the service CA where the pods of a namespace find it.
func (r *Registry) PublishCA(ctx context.Context, namespace string) error {
	maps := r.cluster.Kubernetes.CoreV1().ConfigMaps(namespace)
	_, err := maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "openshift-service-ca.crt"},
		Data:       map[string]string{"service-ca.crt": string(r.CAPEM)},
	}, metav1.CreateOptions{})
	return err
}

// Transport trusts the service CA.
func (r *Registry) Transport() *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CAPEM)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// Remote returns what a client needs that has a token of the cluster. It sends
// no request twice.
func (r *Registry) Remote(token string) []remote.Option {
	return []remote.Option{
		remote.WithTransport(r.Transport()),
		remote.WithAuth(&authn.Basic{Username: "any", Password: token}),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	what := parseRequest(req)
	w = r.count(w, req, what.resource)
	answer := func(w http.ResponseWriter, req *http.Request) { r.answer(w, req, what) }
	r.Faults.Serve(w, req, req, http.HandlerFunc(answer))
}

// answer does what OpenShift's registry does.
func (r *Registry) answer(w http.ResponseWriter, req *http.Request, what request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if what.resource == Tokens {
		r.serveToken(w, req)
		return
	}
	user, refused := r.authorize(req, what)
	if refused != nil {
		refused.write(w)
		return
	}
	switch {
	case what.resource == Blobs && req.Method == http.MethodGet && r.redirects():
		http.Redirect(w, req, r.blobs.url(req.URL.Path), http.StatusTemporaryRedirect)
	case what.resource != Manifests:
		r.proxy.ServeHTTP(w, req)
	case req.Method == http.MethodPut:
		r.putManifest(w, req, what, user)
	case req.Method == http.MethodDelete:
		r.deleteManifest(w, req, what)
	default:
		r.getManifest(w, req, what)
	}
}
