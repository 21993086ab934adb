// Package s3proxy stands in front of a real S3 server. It records all requests,
// refuses what strict servers refuse, and makes the faults that servers and
// networks make. What it lets pass is answered by the real server, which also
// verifies the signatures: the Host header and the signed headers pass unchanged.
package s3proxy

import (
	"encoding/pem"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/inject"
)

// Proxy is a running proxy. It is safe for concurrent use.
type Proxy struct {
	// Inject makes a fault happen to requests. The service of a fault is the real
	// server.
	inject.Faults[Request]

	URL   string
	CAPEM []byte // of the proxy's certificate, nil over plain HTTP

	reverse *httputil.ReverseProxy

	mu       sync.Mutex
	requests []Request
	rules    []Rule
}

// Request is a request as it arrived.
type Request struct {
	Method        string
	Bucket, Key   string
	Query         url.Values
	Header        http.Header // with Host
	ContentLength int64       // -1 when chunked
	Trailer       bool
	Time          time.Time
}

// Operation names the S3 operation.
func (r Request) Operation() string {
	switch {
	case r.Query.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Query.Has("uploadId"):
		return map[string]string{"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}[r.Method]
	case r.Key == "" && r.Method == http.MethodGet && r.Query.Get("list-type") == "2":
		return "ListObjectsV2"
	case r.Key == "" && r.Method == http.MethodGet:
		return "ListObjects"
	case r.Key == "":
		return map[string]string{"HEAD": "HeadBucket", "PUT": "CreateBucket"}[r.Method]
	}
	return map[string]string{"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}[r.Method]
}

// New starts a proxy over plain HTTP in front of the server at target. transport
// is the way there, nil for the default one. It ends with the test.
func New(t testing.TB, target string, transport http.RoundTripper, rules ...Rule) *Proxy {
	return start(t, (*httptest.Server).Start, target, transport, rules)
}

// NewTLS starts a proxy over TLS with a certificate of its own.
func NewTLS(t testing.TB, target string, transport http.RoundTripper, rules ...Rule) *Proxy {
	return start(t, (*httptest.Server).StartTLS, target, transport, rules)
}

func start(t testing.TB, listen func(*httptest.Server), target string, transport http.RoundTripper, rules []Rule) *Proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if transport == nil {
		transport = &http.Transport{DisableCompression: true}
	}
	if tr, ok := transport.(*http.Transport); ok {
		tr.DisableCompression = true // Accept-Encoding must arrive as it was sent
		t.Cleanup(tr.CloseIdleConnections)
	}
	p := &Proxy{rules: rules}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		Transport:  transport,
		BufferPool: pool{},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				t.Logf("s3proxy: %s %s: %v", r.Method, r.URL.Path, err)
			}
			panic(http.ErrAbortHandler)
		},
	}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = nil
	listen(server)
	t.Cleanup(func() {
		p.End()
		server.CloseClientConnections()
		server.Close()
	})
	p.URL = server.URL
	if c := server.Certificate(); c != nil {
		p.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return p
}

// pool keeps the proxy's own copying out of the way of benchmarks.
type pool struct{}

const bufferSize = 128 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (pool) Get() []byte  { return buffers.Get().(*[bufferSize]byte)[:] }
func (pool) Put(b []byte) { buffers.Put((*[bufferSize]byte)(b)) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := newRequest(r)
	rules := p.record(request)
	for _, rule := range rules {
		if refusal := rule(request); refusal != nil {
			refusal.write(w, r)
			return
		}
	}
	p.Faults.Serve(w, r, request, p.reverse)
}

func newRequest(r *http.Request) Request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	return Request{
		Method:        r.Method,
		Bucket:        bucket,
		Key:           key,
		Query:         r.URL.Query(),
		Header:        header,
		ContentLength: r.ContentLength,
		Trailer:       len(r.Trailer) > 0,
		Time:          time.Now(),
	}
}

// record keeps a request and returns the rules that it has to obey.
func (p *Proxy) record(r Request) []Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
	return p.rules
}

// Requests returns what arrived so far.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Count returns how many requests of an operation arrived so far.
func (p *Proxy) Count(operation string) int {
	n := 0
	for _, r := range p.Requests() {
		if r.Operation() == operation {
			n++
		}
	}
	return n
}

// Reset forgets the requests and faults and sets other rules.
func (p *Proxy) Reset(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.rules = nil, rules
	p.Heal()
}

// Refusal is an error answer in the form of S3.
type Refusal struct {
	Status        int
	Code, Message string
}

func (f *Refusal) write(w http.ResponseWriter, r *http.Request) {
	// A server reads the request before it answers.
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", "S3PROXY")
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		f.writeBody(w)
	}
}

func (f *Refusal) writeBody(w io.Writer) {
	_, _ = io.WriteString(w, xml.Header+"<Error><Code>")
	_ = xml.EscapeText(w, []byte(f.Code))
	_, _ = io.WriteString(w, "</Code><Message>")
	_ = xml.EscapeText(w, []byte(f.Message))
	_, _ = io.WriteString(w, "</Message><RequestId>S3PROXY</RequestId></Error>")
}
