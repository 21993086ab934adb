package registry

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
	"github.com/oadp-plugins/oadp-plugins/internal/images"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
)

// operations are all requests of a client, on a repository that has the first
// blob and the manifest.
func operations(t *testing.T, c *Client, first, second content, m *images.Manifest) map[string]func() error {
	return map[string]func() error{
		"Manifest": func() error {
			_, err := c.Manifest(t.Context(), "ns/a", m.Digest)
			return err
		},
		"Blob": func() error { return read(t, c, "ns/a", first) },
		"PutBlob": func() error {
			_, err := c.PutBlob(t.Context(), "ns/a", second.Descriptor, second.open)
			return err
		},
		"PutManifest": func() error { return c.PutManifest(t.Context(), "ns/a", m) },
		"Tag":         func() error { return c.Tag(t.Context(), "ns/a", "latest", m) },
	}
}

// prepare fills a repository.
func prepare(t *testing.T, s *server, first content, m *images.Manifest) {
	t.Helper()
	c, _ := newClient(t, Config{Host: s.host})
	put(t, c, "ns/a", first)
	if err := c.PutManifest(t.Context(), "ns/a", m); err != nil {
		t.Fatal(err)
	}
}

// hangUp closes the connection of a request without an answer.
func hangUp(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = connection.(*net.TCPConn).SetLinger(0)
		_ = connection.Close()
	}
}

// Trouble that passes costs some attempts and no more.
func TestTroubleThatPasses(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(w http.ResponseWriter){
		"500": func(w http.ResponseWriter) { fail(w, http.StatusInternalServerError, "UNKNOWN") },
		"503": func(w http.ResponseWriter) {
			http.Error(w, strings.Repeat("busy ", 20_000), http.StatusServiceUnavailable)
		},
		"429":   func(w http.ResponseWriter) { fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS") },
		"reset": hangUp,
	} {
		first, second := newContent(1000), newContent(300<<10)
		m := manifestOf(first)
		s := newServer(t)
		prepare(t, s, first, m)
		c, paused := newClient(t, Config{Host: s.host})
		if err := read(t, c, "ns/a", first); err != nil {
			t.Fatal(err) // and the handshake is over
		}
		for what, do := range operations(t, c, first, second, m) {
			before := len(paused.all())
			var left atomic.Int32
			left.Store(3)
			s.answer(func(w http.ResponseWriter, r *http.Request) bool {
				if left.Add(-1) < 0 {
					return false
				}
				trouble(w)
				return true
			})
			if err := do(); err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if pauses := len(paused.all()) - before; pauses < 2 || pauses > 3 { // HTTP repeats some by itself
				t.Errorf("%s, %s: %d pauses", name, what, pauses)
			}
		}
	}
}

// Trouble that stays is an error that says what to do; some of it is not worth
// more attempts.
func TestTroubleThatStays(t *testing.T) {
	t.Parallel()
	answer := func(status int, code string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { fail(w, status, code) }
	}
	for name, c := range map[string]struct {
		trouble func(http.ResponseWriter)
		pauses  int
		code    fault.Code
	}{
		"500":   {answer(http.StatusInternalServerError, "UNKNOWN"), maxAttempts - 1, CodeFailed},
		"429":   {answer(http.StatusTooManyRequests, "TOOMANYREQUESTS"), maxAttempts - 1, endpoint.CodeBusy},
		"reset": {hangUp, maxAttempts - 1, endpoint.CodeUnreachable},
		"501":   {answer(http.StatusNotImplemented, "UNSUPPORTED"), 0, CodeFailed},
		"400":   {answer(http.StatusBadRequest, "NAME_INVALID"), 0, CodeRefused},
		"403":   {answer(http.StatusForbidden, "DENIED"), 0, CodeForbidden},
	} {
		first, second := newContent(1000), newContent(2000)
		m := manifestOf(first)
		s := newServer(t)
		prepare(t, s, first, m)
		client, paused := newClient(t, Config{Host: s.host})
		if err := read(t, client, "ns/a", first); err != nil {
			t.Fatal(err) // and the handshake is over
		}
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			c.trouble(w)
			return true
		})
		for what, do := range operations(t, client, first, second, m) {
			before := len(paused.all())
			err := do()
			if !errors.Is(err, c.code) {
				t.Errorf("%s, %s: %v", name, what, err)
				continue
			}
			if pauses := len(paused.all()) - before; pauses != c.pauses {
				t.Errorf("%s, %s: %d pauses", name, what, pauses)
			}
			for _, part := range []string{s.host, "ns/a", "sha256:"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s, %s: %q is not in the error: %v", name, what, part, err)
				}
			}
		}
	}
}

// The handshake may fail as well.
func TestTroubleWithTheHandshake(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(w http.ResponseWriter){
		"503": func(w http.ResponseWriter) {
			http.Error(w, strings.Repeat("busy ", 20_000), http.StatusServiceUnavailable)
		},
		"reset": hangUp,
	} {
		s := newServer(t)
		var left atomic.Int32
		left.Store(4)
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if left.Add(-1) < 0 {
				return false
			}
			trouble(w)
			return true
		})
		c, paused := newClient(t, Config{Host: s.host})
		if put(t, c, "ns/a", newContent(10)); len(paused.all()) == 0 {
			t.Errorf("%s: no pause", name)
		}
	}
}

// What was uploaded is not always seen at once.
func TestBlobIsNotSeenYet(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, paused := newClient(t, Config{Host: s.host})
	blob := newContent(10)
	put(t, c, "ns/a", blob)
	for unseen, want := range map[int32]bool{settleAttempts - 1: true, settleAttempts: false} {
		before := len(paused.all())
		var left atomic.Int32
		left.Store(unseen)
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if left.Add(-1) < 0 {
				return false
			}
			fail(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return true
		})
		err := c.PutManifest(t.Context(), "ns/a", manifestOf(blob))
		if (err == nil) != want || err != nil && !errors.Is(err, CodeRefused) {
			t.Errorf("%d times: %v", unseen, err)
		}
		if pauses := len(paused.all()) - before; pauses != settleAttempts-1 {
			t.Errorf("%d times: %d pauses", unseen, pauses)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		fail(w, http.StatusBadGateway, "UNKNOWN")
		return true
	})
	c, paused := newClient(t, Config{Host: s.host})
	_, _ = c.Manifest(t.Context(), "ns/a", newContent(1).Digest)
	var total time.Duration
	for i, d := range paused.all() {
		nominal := min(firstPause<<i, maxPause)
		if d < nominal*3/4 || d > nominal*5/4 {
			t.Errorf("pause %d is %v", i, d)
		}
		total += d
	}
	if total < 45*time.Second {
		t.Errorf("all pauses together are %v", total)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header   string
		from, to time.Duration
	}{
		{"20", 19 * time.Second, 20 * time.Second},
		{time.Now().Add(40 * time.Second).UTC().Format(http.TimeFormat), 30 * time.Second, 40 * time.Second},
		{"86400", endpoint.MaxThrottle - time.Second, endpoint.MaxThrottle},
		{"99999999999999999999", 0, 2 * time.Second},
		{"-5", 0, 2 * time.Second},
		{"", 0, 2 * time.Second},
	} {
		s := newServer(t)
		var asked atomic.Int32
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" || asked.Add(1) > 1 {
				return false
			}
			w.Header().Set("Retry-After", c.header)
			fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
			return true
		})
		client, paused := newClient(t, Config{Host: s.host})
		put(t, client, "ns/a", newContent(10))
		if p := paused.all(); len(p) != 1 || p[0] < c.from || p[0] > c.to {
			t.Errorf("Retry-After %q: pauses %v", c.header, p)
		}
	}
}

// What is not there is not tried again.
func TestAbsent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, paused := newClient(t, Config{Host: s.host})
	b := newContent(10)
	put(t, c, "ns/a", newContent(10))
	for _, repository := range []string{"ns/a", "ns/absent"} {
		if _, err := c.Manifest(t.Context(), repository, b.Digest); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), repository) {
			t.Errorf("manifest: %v", err)
		}
		if err := read(t, c, repository, b); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("blob: %v", err)
		}
	}
	if len(paused.all()) != 0 {
		t.Errorf("pauses %v", paused.all())
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	c, _ = newClient(t, Config{Host: strings.TrimPrefix(other.URL, "http://")})
	if err := read(t, c, "ns/a", b); !errors.Is(err, CodeRefused) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is no registry says that there is no blob: %v", err)
	}
}

// A repository's name comes from the cluster and must not lead elsewhere.
func TestNamesOfRepositories(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, _ := newClient(t, Config{Host: s.host})
	for _, name := range []string{"", "ns/../a", "ns//a", "/ns/a", "ns/a?x=", "ns/A", "ns/a%2f", "ns/a "} {
		if err := read(t, c, name, newContent(1)); err == nil || !strings.Contains(err.Error(), "not the name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "ns/a", "my-ns/a.b_c--d/e"} {
		put(t, c, name, newContent(10))
	}
	if _, err := c.Manifest(t.Context(), "ns/a", "sha256:../../x"); err == nil {
		t.Error("any digest is taken")
	}
	if s.count("GET", "..") != 0 {
		t.Error("a name led elsewhere")
	}
}

// counted counts the bytes of a body.
type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// A blob's body that breaks off, stands still or ends early is resumed where it
// did.
func TestBlobIsResumed(t *testing.T) {
	t.Parallel()
	blob := newContent(1 << 20)
	half := len(blob.data) / 2
	whole := func(w http.ResponseWriter) { w.Header().Set("Content-Length", fmt.Sprint(len(blob.data))) }
	for name, c := range map[string]struct {
		first    func(w http.ResponseWriter, r *http.Request)
		from, to int // bytes of the second answer
	}{
		"reset": {func(w http.ResponseWriter, _ *http.Request) {
			whole(w)
			_, _ = w.Write(blob.data[:half])
			_ = http.NewResponseController(w).Flush()
			hangUp(w)
		}, half, len(blob.data)}, // some may be lost on the way
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			whole(w)
			_, _ = w.Write(blob.data[:half])
		}, half, half},
		"stall": {func(w http.ResponseWriter, r *http.Request) {
			whole(w)
			_, _ = w.Write(blob.data[:half])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, half, half},
		"end": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(blob.data[:half])
			_ = http.NewResponseController(w).Flush()
		}, half, half},
		"cut, without ranges": {func(w http.ResponseWriter, _ *http.Request) {
			whole(w)
			_, _ = w.Write(blob.data[:half])
		}, len(blob.data), len(blob.data)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			client, _ := newClient(t, Config{Host: s.host})
			client.http.transport.BodyTime = 200 * time.Millisecond
			put(t, client, "ns/a", blob)
			var sent atomic.Int64
			var asked atomic.Int32
			s.answer(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" {
					return false
				}
				if asked.Add(1) == 1 {
					c.first(w, r)
					return true
				}
				if strings.Contains(name, "without ranges") {
					r.Header.Del("Range")
				}
				s.registry.ServeHTTP(counted{w, &sent}, r)
				return true
			})
			if err := read(t, client, "ns/a", blob); err != nil {
				t.Fatal(err)
			}
			if n := int(sent.Load()); asked.Load() != 2 || n < c.from || n > c.to {
				t.Errorf("%d requests; the second sent %d bytes instead of %d to %d", asked.Load(), n, c.from, c.to)
			}
		})
	}
}

// One request reads a whole blob, of any size.
func TestBlobIsOneRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, _ := newClient(t, Config{Host: s.host})
	blob := newContent(20 << 20)
	put(t, c, "ns/a", blob)
	s.answer(nil)
	if err := read(t, c, "ns/a", blob); err != nil {
		t.Fatal(err)
	}
	if n := s.count("GET", ""); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A registry that says nothing is given up.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	c, paused := newClient(t, Config{Host: s.host})
	c.http.transport.AnswerTime = 20 * time.Millisecond
	if err := read(t, c, "ns/a", newContent(1)); !errors.Is(err, endpoint.CodeUnreachable) || len(paused.all()) != maxAttempts-1 {
		t.Errorf("%v after %d pauses", err, len(paused.all()))
	}
}

// Content that is not what its digest says is found out.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	blob := newContent(1000)
	m := manifestOf(blob)
	prepare(t, s, blob, m)
	c, paused := newClient(t, Config{Host: s.host})
	bodies := map[string][]byte{"another manifest": manifestOf(newContent(1)).Content, "a huge one": bytes.Repeat([]byte(" "), images.MaxManifestSize+1), "a page": []byte("<html>")}
	for name, body := range bodies {
		s.answer(func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = w.Write(body)
			return true
		})
		if _, err := c.Manifest(t.Context(), "ns/a", m.Digest); !errors.Is(err, CodeDamaged) || !strings.Contains(err.Error(), m.Digest.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, "{}")
		return true
	})
	if _, err := c.Manifest(t.Context(), "ns/a", digest.FromString("{}")); !errors.Is(err, CodeUnsupported) {
		t.Errorf("something else than a manifest: %v", err)
	}
	s.answer(nil)
	other := blob
	other.Size++
	if err := read(t, c, "ns/a", other); !errors.Is(err, CodeDamaged) {
		t.Errorf("a blob of another size: %v", err)
	}
	if len(paused.all()) != 0 {
		t.Errorf("pauses %v", paused.all())
	}
}

// Registries keep manifests of schema 1, which are not told from others.
func TestManifestOfSchema1(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	blob := newContent(10)
	text := fmt.Sprintf(`{"schemaVersion":1,"name":"ns/a","tag":"x","fsLayers":[{"blobSum":%q}],"history":[]}`, blob.Digest)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		for _, accepted := range []string{images.DockerSchema1, images.DockerSchema1Signed, images.OCIIndex, images.DockerList, images.OCIManifest, images.DockerManifest} {
			if !strings.Contains(r.Header.Get("Accept"), accepted) {
				t.Errorf("%s is not accepted", accepted)
			}
		}
		w.Header().Set("Content-Type", images.DockerSchema1)
		_, _ = io.WriteString(w, text)
		return true
	})
	c, _ := newClient(t, Config{Host: s.host})
	m, err := c.Manifest(t.Context(), "ns/a", digest.FromString(text))
	if err != nil || m.MediaType != images.DockerSchema1 || len(m.Blobs) != 1 || string(m.Content) != text {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	secure := httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	host := strings.TrimPrefix(secure.URL, "https://")
	_, port, _ := net.SplitHostPort(host)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for name, c := range map[string]struct {
		config Config
		code   fault.Code
	}{
		"not trusted": {Config{Host: host}, endpoint.CodeUntrusted},
		"trusted":     {Config{Host: host, CAs: ca}, fault.Code{}},
		"insecure":    {Config{Host: host, Insecure: true}, fault.Code{}},
		"other name":  {Config{Host: "localhost:" + port, CAs: ca}, endpoint.CodeCertificate},
	} {
		client, paused := newClient(t, c.config)
		b := newContent(10)
		_, err := client.PutBlob(t.Context(), "ns/a", b.Descriptor, b.open)
		if c.code.ID == "" && err != nil || c.code.ID != "" && !errors.Is(err, c.code) || len(paused.all()) != 0 {
			t.Errorf("%s: %v, pauses %v", name, err, paused.all())
		}
	}
	if _, err := New(Config{Host: host, CAs: []byte("none")}); !errors.Is(err, endpoint.CodeCABundle) {
		t.Errorf("no certificate: %v", err)
	}
}

// Plain HTTP is for the loopback interface and for those who ask for it.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, paused := newClient(t, Config{Host: s.host})
	if !c.http.mayPlain || isLoopback("registry.test:5000") || !isLoopback("localhost:5000") || !isLoopback("[::1]:5000") {
		t.Error("the loopback interface is not known")
	}
	c.http.mayPlain = false // as for any other host
	if err := read(t, c, "ns/a", newContent(1)); !errors.Is(err, endpoint.CodeNotTLS) || len(paused.all()) != 0 {
		t.Errorf("%v, pauses %v", err, paused.all())
	}
	if s.count("", "") != 0 {
		t.Error("a request was sent")
	}
	other, err := New(Config{Host: "registry.test:5000", Insecure: true})
	if err != nil || !other.http.mayPlain {
		t.Errorf("the switch is not obeyed, %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Close()
	c, paused := newClient(t, Config{Host: s.host})
	if err := read(t, c, "ns/a", newContent(1)); !errors.Is(err, endpoint.CodeRefused) || len(paused.all()) != maxAttempts-1 {
		t.Errorf("%v, pauses %v", err, paused.all())
	}
}

// Work ends with its context.
func TestCancellation(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.answer(func(w http.ResponseWriter, r *http.Request) bool {
		fail(w, http.StatusBadGateway, "UNKNOWN")
		return true
	})
	c, _ := newClient(t, Config{Host: s.host})
	c.pause = endpoint.Sleep
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("Velero went away")
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	if _, err := c.Manifest(ctx, "ns/a", newContent(1).Digest); !errors.Is(err, gone) {
		t.Error(err)
	}
}

// Codes are complete and each is listed once.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes {
		if !strings.HasPrefix(c.ID, "REGISTRY_") || c.Meaning == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("code %+v", c)
		}
		seen[c.ID] = true
	}
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 5-9/10", "bytes 0-0/*", "bytes 9-5/10", "bytes 5-9", "bytes */10", "", "bytes 1-9223372036854775807/9223372036854775807", "bytes -1-2/3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		offset, size, err := contentRange(header)
		if err == nil && (offset < 0 || size < -1 || size >= 0 && offset >= size) {
			t.Errorf("%q is offset %d of %d", header, offset, size)
		}
	})
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][2]int64{"bytes 5-9/10": {5, 10}, "bytes 5-9/*": {5, -1}} {
		if offset, size, err := contentRange(header); err != nil || offset != want[0] || size != want[1] {
			t.Errorf("%q: %d of %d, %v", header, offset, size, err)
		}
	}
}
