package openshift_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/sampleimage"
)

// What a user may do with the layers of image streams is what the cluster's
// roles say.
func TestPermissions(t *testing.T) {
	s := newSite(t)
	pusher, puller, nobody := s.account("pusher", push(), create()), s.account("puller", pull()), s.account("nobody")
	image, err := s.push(pusher, "app:1", 1)
	s.must(err)
	for _, by := range []string{":1", "@" + s.digest(image)} {
		pulled, err := remote.Image(s.reference("app"+by), s.options(puller)...)
		s.must(err)
		if err := validate.Image(pulled); err != nil || s.digest(pulled) != s.digest(image) {
			t.Errorf("app%s is %s, %v", by, s.digest(pulled), err)
		}
	}
	for user, token := range map[string]string{"nobody": nobody, "a stranger": "wrong"} {
		if _, err := remote.Image(s.reference("app:1"), s.options(token)...); status(err) != http.StatusUnauthorized {
			t.Errorf("%s pulls: %v", user, err)
		}
	}
	if _, err := remote.Image(s.reference("app:1"), remote.WithTransport(s.Transport())); status(err) != http.StatusUnauthorized {
		t.Errorf("somebody without credentials pulls: %v", err)
	}
	if _, err := s.push(puller, "app:2", 3); status(err) != http.StatusUnauthorized {
		t.Errorf("somebody who may only pull pushes: %v", err)
	}
}

// Clients learn where to get a token, for which any scope or none will do, and
// may send a token of the cluster instead.
func TestTokens(t *testing.T) {
	s := newSite(t)
	puller := s.account("puller", pull())
	_, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	path := "/v2/" + s.namespace + "/app/manifests/1"
	refused := s.get(path, nil)
	if want := `Bearer realm="https://` + s.Host + `/openshift/token"`; refused.StatusCode != http.StatusUnauthorized || refused.Header.Get("WWW-Authenticate") != want {
		t.Errorf("without a token: %s, %q", refused.Status, refused.Header)
	}
	basic := func(r *http.Request) { r.SetBasicAuth("any", puller) }
	for _, answer := range []*http.Response{s.get(path, basic), s.get(path, bearer(puller)), s.get("/v2/", bearer(puller))} {
		if answer.StatusCode != http.StatusOK {
			t.Errorf("with a token of the cluster: %s of %s", answer.Status, answer.Request.URL)
		}
	}
	if answer := s.get("/openshift/token?scope=repository:app:pull", basic); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token for a repository without a namespace: %s", answer.Status)
	}
	if answer := s.get("/v2/_catalog", basic); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the catalogue: %s", answer.Status)
	}
}

// A client whose token has ended gets another one.
func TestTokensEnd(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	puller, err := remote.NewPuller(s.options(s.account("puller", pull()))...)
	s.must(err)
	head := func() error { _, err := puller.Head(t.Context(), s.reference("app@"+s.digest(image))); return err }
	s.must(head())
	s.ResetCounts()
	s.must(head())
	if n := s.Counts().Requests[openshift.Request{Method: http.MethodGet, Resource: openshift.Tokens}]; n != 0 {
		t.Errorf("%d new tokens while the old one is good", n)
	}
	s.ExpireTokens()
	s.must(head())
	if n := s.Counts().Requests[openshift.Request{Method: http.MethodGet, Resource: openshift.Tokens}]; n != 1 {
		t.Errorf("%d new tokens after the end of the old one", n)
	}
	s.SetTokenLifetime(0)
	s.ExpireTokens()
	if err := head(); status(err) != http.StatusUnauthorized {
		t.Errorf("with a token that ends at once: %v", err)
	}
}

// The service CA is in the config map that pods read it from, and the
// certificate is of that authority only.
func TestServiceCA(t *testing.T) {
	s := newSite(t)
	s.must(s.PublishCA(t.Context(), s.namespace))
	published, err := s.cluster.Kubernetes.CoreV1().ConfigMaps(s.namespace).Get(t.Context(), "openshift-service-ca.crt", metav1.GetOptions{})
	s.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(published.Data["service-ca.crt"]))
	for _, c := range []struct {
		roots *x509.CertPool
		valid bool
	}{{roots, true}, {x509.NewCertPool(), false}} {
		conn, err := tls.Dial("tcp", s.Host, &tls.Config{RootCAs: c.roots})
		if valid := err == nil; valid != c.valid {
			t.Errorf("valid: %t, %v", valid, err)
		}
		if err == nil {
			s.must(conn.Close())
		}
	}
}

// Clients that are sent elsewhere for a blob have no credentials to show there.
func TestRedirects(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	s.RedirectBlobs(true)
	s.ResetCounts()
	pulled, err := remote.Image(s.reference("app@"+s.digest(image)), s.options(s.admin())...)
	s.must(err)
	s.must(validate.Image(pulled))
	followed := s.Redirected()
	if len(followed) < 3 {
		t.Errorf("%d requests for two layers and a configuration", len(followed))
	}
	for _, header := range followed {
		if header.Get("Authorization") != "" {
			t.Error("credentials arrived")
		}
	}
	if sent := s.Counts().Sent; sent > 10_000 {
		t.Errorf("%d bytes of blobs were sent all the same", sent)
	}
}

func TestCounts(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	var size int64
	layers, err := image.Layers()
	s.must(err)
	for _, layer := range layers {
		n, err := layer.Size()
		s.must(err)
		size += n
	}
	counts := s.Counts()
	if counts.Requests[openshift.Request{Method: http.MethodPut, Resource: openshift.Manifests}] != 1 ||
		counts.Requests[openshift.Request{Method: http.MethodPost, Resource: openshift.Uploads}] != 3 ||
		counts.Requests[openshift.Request{Method: http.MethodHead, Resource: openshift.Blobs}] != 3 {
		t.Errorf("requests of a push: %v", counts.Requests)
	}
	if counts.Received < size || counts.Received > size+10_000 || counts.Sent != 0 {
		t.Errorf("%d bytes received and %d sent for %d bytes of layers", counts.Received, counts.Sent, size)
	}
	s.ResetCounts()
	pulled, err := remote.Image(s.reference("app:1"), s.options(s.admin())...)
	s.must(err)
	_, err = pulled.RawConfigFile()
	s.must(err)
	if counts := s.Counts(); counts.Sent == 0 || counts.Received != 0 {
		t.Errorf("%d bytes received and %d sent for a configuration", counts.Received, counts.Sent)
	}
}

func TestFaults(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	layers, err := image.Layers()
	s.must(err)
	blob := "/v2/" + s.namespace + "/app/blobs/" + s.digest(layers[0])
	blobs := openshift.Requests(http.MethodGet, "/blobs/")

	s.Inject(2, blobs, openshift.Answer(http.StatusServiceUnavailable, "UNAVAILABLE"))
	for _, want := range []int{503, 503, 200} {
		if answer := s.get(blob, bearer(s.admin())); answer.StatusCode != want {
			t.Errorf("%s in place of %d", answer.Status, want)
		}
	}

	s.Inject(1, blobs, inject.ResetResponse(50_000))
	answer := s.get(blob, bearer(s.admin()))
	content, err := io.ReadAll(answer.Body)
	if len(content) > 50_000 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, then %v", len(content), err)
	}

	s.Inject(inject.Always, blobs, inject.StallResponse(50_000))
	ctx, giveUp := context.WithCancel(t.Context())
	answer = s.get(blob, func(r *http.Request) { *r = *r.WithContext(ctx); bearer(s.admin())(r) })
	if _, err := io.ReadFull(answer.Body, make([]byte, 50_000)); err != nil {
		t.Error(err)
	}
	giveUp()
	if _, err := io.ReadAll(answer.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("after the stall: %v", err)
	}

	s.Heal()
	if answer := s.get(blob, bearer(s.admin())); answer.StatusCode != http.StatusOK {
		t.Errorf("healed: %s", answer.Status)
	}

	s.Inject(1, openshift.Requests(http.MethodPatch, "/uploads/"), inject.ResetRequest(10_000))
	if _, err := s.push(s.admin(), "app:2", 3); err == nil || status(err) != 0 {
		t.Errorf("push with a broken upload: %v", err)
	}
	s.Inject(1, openshift.Requests(http.MethodPut, "/manifests/"), inject.LoseAnswer())
	if _, err := s.push(s.admin(), "app:2", 3); err == nil || status(err) != 0 {
		t.Errorf("push whose last answer is lost: %v", err)
	}
	if _, err := remote.Head(s.reference("app:2"), s.options(s.admin())...); err != nil {
		t.Errorf("that push did not count: %v", err)
	}
}

// A stock registry that dies takes its clients' connections with it.
func TestDeathOfTheStockRegistry(t *testing.T) {
	s := newSite(t)
	backend, err := servers.StartRegistry(t.Context(), stack.RegistryOptions{})
	s.must(err)
	t.Cleanup(backend.Stop)
	s.start(backend)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	backend.Kill()
	if _, err := remote.Head(s.reference("app:1"), s.options(s.admin())...); err == nil || status(err) != 0 {
		t.Errorf("without the stock registry: %v", err)
	}
	s.must(backend.Start(t.Context()))
	found, err := remote.Head(s.reference("app:1"), s.options(s.admin())...)
	s.must(err)
	if found.Digest.String() != s.digest(image) {
		t.Errorf("found %s", found.Digest)
	}
}

// Whoever may not pull from a repository gets nothing of it by mounting blobs.
func TestMounts(t *testing.T) {
	s := newSite(t)
	image, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	layers, err := image.Layers()
	s.must(err)
	other := s.cluster.NewNamespace(t)
	query := url.Values{"mount": {s.digest(layers[0])}, "from": {s.namespace + "/app"}}
	path := "/v2/" + other + "/copy/blobs/uploads/?" + query.Encode()
	mine := s.namespace
	s.namespace = other
	pusher := s.account("pusher", push())
	s.namespace = mine
	for token, want := range map[string]int{pusher: http.StatusAccepted, s.admin(): http.StatusCreated} {
		answer := s.get(path, func(r *http.Request) { r.Method = http.MethodPost; bearer(token)(r) })
		if answer.StatusCode != want || !strings.HasPrefix(answer.Header.Get("Location"), "https://"+s.Host) {
			t.Errorf("%s in place of %d, to %q", answer.Status, want, answer.Header.Get("Location"))
		}
	}
}

// Images of schema 1 are there to be pulled, although the stock registry would
// not take them.
func TestSchema1(t *testing.T) {
	s := newSite(t)
	_, err := s.push(s.admin(), "app:1", 1)
	s.must(err)
	old, err := sampleimage.NewSchema1(s.namespace+"/app", "old", s.layer(1), s.layer(2))
	s.must(err)
	s.must(s.ServeSchema1(t.Context(), s.namespace+"/app", "old", old))
	for _, by := range []string{":old", "@" + old.Digest.String()} {
		found, err := remote.Get(s.reference("app"+by), s.options(s.admin())...)
		s.must(err)
		if string(found.Manifest) != string(old.Content) || !strings.Contains(string(found.MediaType), "v1+prettyjws") {
			t.Errorf("app%s is %s\n%s", by, found.MediaType, found.Manifest)
		}
	}
	if got := s.images("app", "old"); !slices.Equal(got, []string{old.Digest.String()}) {
		t.Errorf("the image stream has %v", got)
	}
}

// get sends a request as it is told to, by default a GET.
func (s *site) get(path string, prepare func(*http.Request)) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+s.Host+path, nil)
	s.must(err)
	if prepare != nil {
		prepare(request)
	}
	answer, err := s.Transport().RoundTrip(request)
	s.must(err)
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// status is that of the answer that an error tells of, or 0.
func status(err error) int {
	var refused *transport.Error
	if errors.As(err, &refused) {
		return refused.StatusCode
	}
	return 0
}
