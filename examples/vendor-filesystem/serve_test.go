package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

const body = "the body of the object"

// signedObject returns a server of signed URLs and the URL of an object with
// body.
func signedObject(t *testing.T, dirs directories, server, key string) *url.URL {
	t.Helper()
	s := &store{}
	config := map[string]string{"root": dirs.root, "publicUrl": server, "credentialsFile": dirs.keyFile}
	if _, err := s.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
		t.Fatal(err)
	}
	put(t, s, key, body)
	return signedURL(t, s, key, time.Minute)
}

func signedURL(t *testing.T, s *store, key string, ttl time.Duration) *url.URL {
	t.Helper()
	signed, err := s.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: "backups", Key: key, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newServer(t *testing.T) (directories, *httptest.Server) {
	dirs := newDirectories(t)
	server := httptest.NewServer(signed(dirs.keyFile, http.FileServer(http.Dir(dirs.root))))
	t.Cleanup(server.Close)
	return dirs, server
}

func fetch(t *testing.T, u, byteRange string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		request.Header.Set("Range", byteRange)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestSignedURLs(t *testing.T) {
	dirs, server := newServer(t)
	for _, key := range []string{"plain", "index.html", "a/../b", "a//b/", "%2e%2e", "a b+c?d#e&f", "日本語", strings.Repeat("long/", 100)} {
		u := signedObject(t, dirs, server.URL+"/", key).String()
		if status, text := fetch(t, u, ""); status != http.StatusOK || text != body {
			t.Errorf("%.50q at %s: %d %q", key, u, status, text)
		}
		if status, text := fetch(t, u, "bytes=4-7"); status != http.StatusPartialContent || text != body[4:8] {
			t.Errorf("bytes 4 to 7 of %.50q: %d %q", key, status, text)
		}
	}
}

// TestOnlySignedURLs changes a good URL in one way after the other.
func TestOnlySignedURLs(t *testing.T) {
	dirs, server := newServer(t)
	good := signedObject(t, dirs, server.URL, "one")
	other := signedObject(t, dirs, server.URL, "two")
	secret := filepath.Join(dirs.root, "secret")
	if err := os.WriteFile(secret, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &store{}
	if _, err := s.Init(t.Context(), sdk.InitInput{Config: map[string]string{"root": dirs.root, "publicUrl": server.URL, "credentialsFile": dirs.keyFile}}); err != nil {
		t.Fatal(err)
	}
	query := func(change func(url.Values)) string {
		u, values := *good, good.Query()
		change(values)
		u.RawQuery = values.Encode()
		return u.String()
	}
	path := func(p string) string {
		u := *good
		u.Path = p
		return u.String()
	}
	for name, c := range map[string]struct {
		url  string
		want int
	}{
		"as signed":         {good.String(), http.StatusOK},
		"expired":           {signedURL(t, s, "one", -time.Second).String(), http.StatusForbidden},
		"absent":            {signedURL(t, s, "absent", time.Minute).String(), http.StatusNotFound},
		"longer life":       {query(func(v url.Values) { v.Set("expires", "99999999999") }), http.StatusForbidden},
		"no expiry":         {query(func(v url.Values) { v.Del("expires") }), http.StatusForbidden},
		"no signature":      {query(func(v url.Values) { v.Del("signature") }), http.StatusForbidden},
		"other signature":   {query(func(v url.Values) { v.Set("signature", other.Query().Get("signature")) }), http.StatusForbidden},
		"other object":      {path(other.Path), http.StatusForbidden},
		"the bucket":        {path("/backups/"), http.StatusForbidden},
		"the root":          {path("/"), http.StatusForbidden},
		"outside of it":     {path("/backups/../secret"), http.StatusForbidden},
		"far outside of it": {path("/../../../../etc/passwd"), http.StatusForbidden},
	} {
		if status, text := fetch(t, c.url, ""); status != c.want || (text == body) != (c.want == http.StatusOK) {
			t.Errorf("%s: %d %q, want %d", name, status, text, c.want)
		}
	}
}

func TestWhatSigningNeeds(t *testing.T) {
	dirs := newDirectories(t)
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for missing, config := range map[string]map[string]string{
		"publicUrl":             {"credentialsFile": dirs.keyFile},
		"no such file":          {"publicUrl": "http://localhost", "credentialsFile": short + "er"},
		"shorter than 32 bytes": {"publicUrl": "http://localhost", "credentialsFile": short},
	} {
		config["root"] = dirs.root
		s := &store{}
		if _, err := s.Init(t.Context(), sdk.InitInput{Config: config}); err != nil {
			t.Fatal(err)
		}
		signed, err := s.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: "backups", Key: "key", TTL: time.Minute})
		if err == nil || !strings.Contains(err.Error(), missing) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q, %v", missing, signed.URL, err)
		}
	}
	if err := serve(t.Context(), sdk.CommandInput{Args: []string{"--key-file", short}}); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("serve with a short key: %v", err)
	}
}

// TestServe runs the command as a process.
func TestServe(t *testing.T) {
	dirs := newDirectories(t)
	address := freeAddress(t)
	command := exec.CommandContext(t.Context(), os.Args[0], "serve", "--root", dirs.root, "--key-file", dirs.keyFile, "--listen", address)
	command.Env = append(os.Environ(), asPlugin+"=1")
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	await(t, address, ended)
	u := signedObject(t, dirs, "http://"+address, "one").String()
	if status, text := fetch(t, u, ""); status != http.StatusOK || text != body {
		t.Errorf("%d %q", status, text)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("after SIGTERM: %v, %s", err, output.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// await waits until a server can be reached.
func await(t *testing.T, address string, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the server has ended: %v", err)
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
