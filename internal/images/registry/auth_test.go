package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// tokens lets clients into a registry as OpenShift does: the token of the
// cluster's API, sent as the password of any user, gets a token of the registry.
type tokens struct {
	realm string

	mu        sync.Mutex
	valid     string // token of the API
	pings     int
	exchanges int
}

func newTokens(s *server, valid string) *tokens {
	k := &tokens{realm: s.URL + "/openshift/token", valid: valid}
	s.answer(k.answer)
	return k
}

// rotate makes another token the only valid one.
func (k *tokens) rotate(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.valid = token
}

// credential is what a pod reads from its token file.
func (k *tokens) credential(context.Context) (user, password string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return "ignored", k.valid, nil
}

func (k *tokens) answer(w http.ResponseWriter, r *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.URL.Path == "/openshift/token" {
		k.exchanges++
		if _, password, _ := r.BasicAuth(); password != k.valid {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		fmt.Fprintf(w, `{"access_token": "registry-%s", "expires_in": 3600}`, k.valid)
		return true
	}
	if r.URL.Path == "/v2/" {
		k.pings++
	}
	if r.Header.Get("Authorization") == "Bearer registry-"+k.valid {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+k.realm+`"`)
	fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
	return true
}

func manifestOf(blobs ...content) *images.Manifest {
	var layers []string
	for _, b := range blobs {
		layers = append(layers, fmt.Sprintf(`{"digest":%q,"size":%d}`, b.Digest, b.Size))
	}
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, images.OCIManifest, layers[0], strings.Join(layers[1:], ","))
	m, err := images.ParseManifest([]byte(text), "", digest.FromString(text))
	if err != nil {
		panic(err)
	}
	return m
}

// A repository costs one handshake, however many ask.
func TestHandshakeOncePerRepository(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	k := newTokens(s, "one")
	c, _ := newClient(t, Config{Host: s.host, Credential: k.credential})
	blob := newContent(1000)
	var all sync.WaitGroup
	for range 20 {
		for _, repository := range []string{"ns/a", "ns/b"} {
			all.Go(func() {
				_, err := c.PutBlob(t.Context(), repository, blob.Descriptor, blob.open)
				if err == nil {
					err = read(t, c, repository, blob)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if k.pings != 2 || k.exchanges != 2 {
		t.Errorf("%d pings and %d token exchanges for 2 repositories", k.pings, k.exchanges)
	}
}

// A token that is revoked while a client uses it is replaced by the one that is
// valid by then.
func TestTokenIsRotated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	k := newTokens(s, "one")
	c, paused := newClient(t, Config{Host: s.host, Credential: k.credential})
	first, second := newContent(1000), newContent(300<<10)
	m := manifestOf(first, second)
	put(t, c, "ns/a", first)
	k.rotate("two")
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") && k.exchanges == 2 {
			k.rotate("three") // in the middle of the upload
		}
		return k.answer(w, r)
	})
	if _, err := c.PutBlob(t.Context(), "ns/a", second.Descriptor, second.open); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"PutManifest", func() error { return c.PutManifest(t.Context(), "ns/a", m) }},
		{"Tag", func() error { return c.Tag(t.Context(), "ns/a", "latest", m) }},
		{"Manifest", func() error {
			_, err := c.Manifest(t.Context(), "ns/a", m.Digest)
			return err
		}},
		{"Blob", func() error { return read(t, c, "ns/a", second) }},
	} {
		k.rotate("for " + step.what)
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	if k.exchanges != 7 || len(paused.all()) != 0 {
		t.Errorf("%d token exchanges for 7 tokens, pauses %v", k.exchanges, paused.all())
	}
}

// What is refused is not tried again, and says who needs which permission.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const secret = "my-own-secret"
	mine := func(context.Context) (string, string, error) { return "ignored", secret, nil }
	unreadable := func(context.Context) (string, string, error) { return "", "", errors.New("the token file is gone") }
	for name, c := range map[string]struct {
		credential func(context.Context) (string, string, error)
		answer     func(w http.ResponseWriter, r *http.Request) bool
		code       fault.Code
		text       string
	}{
		"wrong token":           {mine, nil, CodeUnauthorized, "get imagestreams/layers"},
		"no credential":         {nil, nil, CodeUnauthorized, "service account"},
		"unreadable credential": {unreadable, nil, CodeCredential, "the token file is gone"},
		"forbidden": {mine, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				w.WriteHeader(http.StatusOK)
				return true
			}
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			fail(w, http.StatusForbidden, "DENIED")
			return true
		}, CodeForbidden, "DENIED: a message"},
		"no token in the answer": {mine, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/openshift/token" {
				_, _ = io.WriteString(w, `{"a_token": "`+secret+`"}`)
				return true
			}
			return false
		}, CodeRefused, "sent no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			k := newTokens(s, "another")
			s.answer(func(w http.ResponseWriter, r *http.Request) bool {
				return c.answer != nil && c.answer(w, r) || k.answer(w, r)
			})
			client, paused := newClient(t, Config{Host: s.host, Credential: c.credential})
			b := newContent(10)
			_, err := client.PutBlob(t.Context(), "ns/a", b.Descriptor, b.open)
			if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v", err)
			}
			for _, part := range []string{s.host, "ns/a", b.Digest.String()} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in the error: %v", part, err)
				}
			}
			if len(paused.all()) != 0 {
				t.Errorf("%d more attempts", len(paused.all()))
			}
		})
	}
}

// Other registries issue tokens for what is asked for: to read first, then to
// write, then to read where a blob is mounted from.
func TestTokensForScopes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			fmt.Fprintf(w, `{"token": %q}`, strings.Join(r.URL.Query()["scope"], " "))
			return true
		}
		if r.URL.Path == "/v2/" && r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		repository := strings.Join(strings.Split(r.URL.Path, "/")[2:4], "/")
		wanted := "repository:" + repository + ":pull"
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			wanted += ",push"
		}
		if from := r.URL.Query().Get("from"); from != "" {
			wanted += " repository:" + from + ":pull"
		}
		if strings.Contains(r.Header.Get("Authorization"), wanted) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
			}
			return r.Method == http.MethodHead
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="registry",scope="`+wanted+`"`)
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return true
	})
	c, _ := newClient(t, Config{Host: s.host, Credential: func(context.Context) (string, string, error) { return "user", "password", nil }})
	blob := newContent(1000)
	m := manifestOf(blob)
	for _, repository := range []string{"ns/a", "ns/b"} { // which the registry does not mount
		put(t, c, repository, blob)
		if err := c.PutManifest(t.Context(), repository, m); err != nil {
			t.Error(err)
		}
		if err := read(t, c, repository, blob); err != nil {
			t.Error(err)
		}
	}
	if n := s.count("GET", "/token"); n != 4 {
		t.Errorf("%d token exchanges", n)
	}
}

// Registries may want the password itself.
func TestBasic(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	password := "one"
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if _, sent, _ := r.BasicAuth(); sent == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		fail(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return true
	})
	c, _ := newClient(t, Config{Host: s.host, Credential: func(context.Context) (string, string, error) { return "user", password, nil }})
	blob := newContent(1000)
	put(t, c, "ns/a", blob)
	password = "two"
	if err := read(t, c, "ns/a", blob); err != nil {
		t.Error(err)
	}
}

// A store where the registry sends clients for blobs gets no credential.
func TestCredentialStaysHere(t *testing.T) {
	t.Parallel()
	blob := newContent(1000)
	var sent []string
	status := http.StatusOK
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		w.WriteHeader(status)
		_, _ = w.Write(blob.data)
	}))
	defer store.Close()
	s := newServer(t)
	k := newTokens(s, "one")
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if k.answer(w, r) {
			return true
		}
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, store.URL+"/key?signature=x", http.StatusTemporaryRedirect)
			return true
		}
		return false
	})
	c, _ := newClient(t, Config{Host: s.host, Credential: k.credential})
	if err := read(t, c, "ns/a", blob); err != nil {
		t.Error(err)
	}
	if n, err := c.PutBlob(t.Context(), "ns/b", blob.Descriptor, unread(t)); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	status = http.StatusForbidden
	err := read(t, c, "ns/a", blob)
	if !errors.Is(err, CodeFailed) || !strings.Contains(err.Error(), "disableRedirect") || strings.Contains(err.Error(), "signature") {
		t.Error(err)
	}
	if !slices.Equal(sent, []string{"", "", ""}) {
		t.Errorf("the store was sent %q", sent)
	}
}
