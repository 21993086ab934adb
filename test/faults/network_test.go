package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/s3proxy"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// The network or the server fails during a put or a get, once, as long as the
// plugin tries, or for ever. The call succeeds with every byte in place, or it
// fails with a reason: there is nothing in between.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	const once, tries = 1, 2 // the plugin tries three times
	body := host.Body{Seed: 7, Size: 23 << 20}
	part, commit := s3proxy.Part(2), s3proxy.Operations("CompleteMultipartUpload")
	download := s3proxy.Operations("GetObject")
	for _, c := range []struct {
		name  string
		do    string
		times int
		when  s3proxy.Match
		fault inject.Fault
		fails bool
		says  string // a part of the error
	}{
		{"part reset once", "put", once, part, inject.ResetRequest(1 << 20), false, ""},
		{"part reset for ever", "put", inject.Always, part, inject.ResetRequest(1 << 20), true, "connection"},
		{"part slowed down", "put", tries, part, s3proxy.SlowDown(), false, ""},
		{"parts slowed down for ever", "put", inject.Always, part, s3proxy.SlowDown(), true, "ENDPOINT_BUSY"},
		{"part stands still, then reset", "put", once, part, stalled, false, ""},
		{"part accepted, answer lost", "put", once, part, answerLost, false, ""},
		{"all parts throttled", "put", inject.Always, s3proxy.Operations("UploadPart"), throttled, false, ""},
		{"begin reset", "put", once, s3proxy.Operations("CreateMultipartUpload"), inject.ResetRequest(0), false, ""},
		{"begin refused", "put", inject.Always, s3proxy.Operations("CreateMultipartUpload"), s3proxy.SlowDown(), true, "ENDPOINT_BUSY"},
		{"commit fails in its body", "put", once, commit, s3proxy.ErrorInBody("InternalError"), false, ""},
		{"commit fails for ever", "put", inject.Always, commit, s3proxy.ErrorInBody("InternalError"), true, "InternalError"},
		{"commit reset for ever", "put", inject.Always, commit, inject.ResetRequest(0), true, ""},
		{"abort fails as well", "put", inject.Always, s3proxy.Operations("UploadPart", "AbortMultipartUpload"), s3proxy.SlowDown(), true, "ENDPOINT_BUSY"},
		{"credentials expire", "put", inject.Always, part, s3proxy.ExpiredToken(), true, "_EXPIRED_TOKEN]"},
		{"get reset once", "get", once, download, inject.ResetResponse(3 << 20), false, ""},
		{"get reset at its first byte", "get", tries, download, inject.ResetResponse(0), false, ""},
		{"get reset for ever", "get", inject.Always, download, inject.ResetResponse(0), true, ""},
		{"get cut short once", "get", once, download, cutShort(3 << 20), false, ""},
		{"get slowed down", "get", tries, download, s3proxy.SlowDown(), false, ""},
		{"get stands still, then reset", "get", once, download, stalled, false, ""},
		{"get throttled", "get", inject.Always, download, throttled, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			p := start(t, launch(t, awsPlugin(t)))
			s := b.open(p)
			b.proxy.Inject(c.times, c.when, c.fault)
			err := within(t, time.Minute, c.name, func() error {
				if c.do == "put" {
					return s.Put(t.Context(), "object", body.Reader())
				}
				b.add("object", body)
				return fetch(t.Context(), s, "object", body)
			})
			switch {
			case (err != nil) != c.fails:
				t.Errorf("got %v, fails: %v", err, c.fails)
			case err != nil && !strings.Contains(err.Error(), c.says):
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
			if c.do == "put" && err == nil {
				b.holds("object", body)
			}
			if c.do == "put" && err != nil {
				b.lacks("object")
				if b.uploads("object") > 0 && !strings.Contains(p.Stderr(), "lifecycle rule") {
					t.Error("the upload was not aborted, and nothing says so")
				}
			}
			b.proxy.Reset()
			b.works(s)
		})
	}
}

// stalled says nothing for a while and then resets the connection, as a firewall
// does that has forgotten it.
func stalled(w http.ResponseWriter, r *http.Request, service http.Handler) {
	time.Sleep(2 * time.Second)
	inject.ResetRequest(0)(w, r, service)
}

// answerLost lets the server do its work and ends the connection in place of the
// answer.
func answerLost(w http.ResponseWriter, r *http.Request, service http.Handler) {
	service.ServeHTTP(&mute{w}, r)
}

type mute struct{ http.ResponseWriter }

func (*mute) WriteHeader(int) { panic(http.ErrAbortHandler) }

// throttled passes what is sent at 20 MiB per second and what is received at the
// same rate.
func throttled(w http.ResponseWriter, r *http.Request, service http.Handler) {
	r.Body = io.NopCloser(&slowReader{r.Body})
	service.ServeHTTP(&slowWriter{w}, r)
}

const throttle = 20 << 20 // bytes per second

type slowReader struct{ io.Reader }

func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	time.Sleep(time.Duration(n) * time.Second / throttle)
	return n, err
}

type slowWriter struct{ http.ResponseWriter }

func (s *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / throttle)
	return s.ResponseWriter.Write(p)
}

func (s *slowWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// cutShort ends the connection in order after n bytes of the response's body.
func cutShort(n int64) inject.Fault {
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		service.ServeHTTP(&short{w, n}, r)
	}
}

type short struct {
	http.ResponseWriter
	left int64
}

func (s *short) Write(p []byte) (int, error) {
	if int64(len(p)) < s.left {
		s.left -= int64(len(p))
		return s.ResponseWriter.Write(p)
	}
	_, _ = s.ResponseWriter.Write(p[:s.left])
	panic(http.ErrAbortHandler) // the server closes the connection
}

func (s *short) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// A server that lies about its pages: the list is complete or an error.
func TestWrongPagination(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	const objects = 1100
	b.addMany(objects)
	s := b.open(start(t, launch(t, awsPlugin(t))))
	for _, c := range []struct {
		name  string
		fault inject.Fault
		fails bool
	}{
		{"no token", s3proxy.V1Body(), false},
		{"the same token again", pages(func(int) string { return "again" }), false},
		{"other tokens for ever", pages(func(n int) string { return fmt.Sprint("token-", n) }), false},
		{"more, but no keys", answerXML("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"), false},
		{"an answer cut off", answerXML("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"), true},
		{"another answer", answerXML("<html><body>welcome</body></html>"), true},
		{"nothing", answerXML(""), true},
	} {
		b.proxy.Reset()
		b.proxy.Inject(inject.Always, s3proxy.Operations("ListObjectsV2"), c.fault)
		var keys []string
		err := within(t, promptly, c.name, func() (err error) {
			keys, err = s.List(t.Context(), "many/")
			return err
		})
		if (err != nil) != c.fails || err == nil && len(keys) != objects {
			t.Errorf("%s: %d keys of %d, %v", c.name, len(keys), objects, err)
		}
	}
	b.proxy.Reset()
	if keys, err := s.List(t.Context(), "many/"); err != nil || len(keys) != objects {
		t.Errorf("%d keys afterwards, %v", len(keys), err)
	}
}

func (b *bucket) addMany(objects int) {
	b.t.Helper()
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := worker; i < objects; i += 16 {
				b.add(fmt.Sprintf("many/%04d", i), host.Body{Size: 1})
			}
		})
	}
	group.Wait()
}

// pages answers each request with the same two keys and another token.
func pages(token func(n int) string) inject.Fault {
	n := 0 // the plugin asks for one page after the other
	return func(w http.ResponseWriter, r *http.Request, service http.Handler) {
		n++
		answerXML("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>"+token(n)+
			"</NextContinuationToken><Contents><Key>many/0000</Key></Contents><Contents><Key>many/0001</Key></Contents></ListBucketResult>")(w, r, service)
	}
}

func answerXML(body string) inject.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, body)
	}
}

// The server goes away in the middle of a put and of a get, and comes back: the
// calls fail with a reason, and those after them work.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	body := host.Body{Seed: 8, Size: 64 << 20}
	for _, do := range []string{"put", "get"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			line := newLine(t, strings.TrimPrefix(b.proxy.URL, "http://"))
			b.config["s3Url"] = "http://" + line.address
			b.add("old", body)
			s := b.open(start(t, launch(t, awsPlugin(t))))
			err := within(t, time.Minute, do, func() error {
				if do == "put" {
					return s.Put(t.Context(), "object", &cutting{r: body.Reader(), left: body.Size / 2, cut: line.cut})
				}
				object, err := s.Get(t.Context(), "old")
				if err != nil {
					return err
				}
				return body.Compare(&cutting{r: object, left: body.Size / 8, cut: line.cut})
			})
			if err == nil || !strings.Contains(err.Error(), "[ENDPOINT_REFUSED]") {
				t.Errorf("got %v, want the code of a refused connection", err)
			}
			if exists, err := s.Exists(t.Context(), "old"); err == nil {
				t.Errorf("exists: %v, without a server", exists)
			}
			line.mend()
			b.lacks("object")
			b.holds("old", body)
			b.works(s)
		})
	}
}

// cutting cuts a line in the middle of a body.
type cutting struct {
	r    io.Reader
	left int64
	cut  func()
}

func (c *cutting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left > 0 && c.left <= int64(n) {
		c.cut()
	}
	c.left -= int64(n)
	return n, err
}

// line is a connection to a server that can be cut: its address refuses
// connections then.
type line struct {
	t       testing.TB
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
}

func newLine(t testing.TB, target string) *line {
	t.Helper()
	l := &line{t: t, address: "127.0.0.1:0", target: target}
	l.mend()
	t.Cleanup(l.cut)
	return l
}

func (l *line) mend() {
	l.t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address, l.listener, l.open = listener.Addr().String(), listener, map[net.Conn]bool{}
	go l.serve(listener)
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.listener.Close()
	for conn := range l.open {
		_ = conn.Close()
	}
	l.open = nil
}

func (l *line) serve(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil || !l.keep(near, far) {
			_ = near.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(way[0], way[1])
				_, _ = way[0].Close(), way[1].Close()
			}()
		}
	}
}

// keep remembers connections, unless the line was cut meanwhile.
func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		if l.open == nil {
			_ = conn.Close()
			continue
		}
		l.open[conn] = true
	}
	return l.open != nil
}
