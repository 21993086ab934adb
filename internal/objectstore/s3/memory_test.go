package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

// memory is an S3 server without a network, for tests on a false clock: what real
// servers answer is tested with real servers. It knows one bucket.
type memory struct {
	mu       sync.Mutex
	objects  map[string][]byte
	uploads  map[string]map[int][]byte
	requests []*http.Request
	// before answers in the place of the server unless it returns nil, after
	// changes the answer.
	before func(*http.Request) *http.Response
	after  func(*http.Request, *http.Response) (*http.Response, error)
	// failure may make an answer of before a broken connection.
	failure func() error
}

const memoryBucket = "bucket"

// memoryPart is the size of a part in bytes.
const memoryPart = 1 << 10

func newMemory() *memory {
	return &memory{objects: map[string][]byte{}, uploads: map[string]map[int][]byte{}}
}

// store returns a store in the bucket. Its parts and ranges are of memoryPart.
func (m *memory) store(attempts int) *Store {
	log := slog.New(slog.DiscardHandler)
	cfg := aws.Config{
		Region: "here", HTTPClient: m, RetryMaxAttempts: attempts,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
	store := New(log)
	store.current.Store(&location{
		log: log, region: "here", cfg: cfg, client: newClient(cfg, "https://store.example.com", true), tls: true,
		settings:  settings{endpoint: "https://store.example.com", bucket: memoryBucket},
		integrity: newIntegrity(checksumMode{algorithm: "CRC32"}, log), pool: transfer.NewPool(memoryPart, 40), concurrency: 32,
	})
	return store
}

// count returns how many requests of an operation came.
func (m *memory) count(method, query string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.requests {
		if r.Method == method && strings.Contains(r.URL.RawQuery, query) {
			n++
		}
	}
	return n
}

// Do implements aws.HTTPClient.
func (m *memory) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
	if m.before != nil {
		if resp := m.before(r); resp != nil {
			if m.failure != nil {
				if err := m.failure(); err != nil {
					return nil, err
				}
			}
			return resp, nil
		}
	}
	resp := m.answer(r, body)
	if m.after != nil {
		return m.after(r, resp)
	}
	return resp, nil
}

func respond(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

func refuse(r *http.Request, status int, code string) *http.Response {
	if r.Method == http.MethodHead {
		return respond(r, status, "")
	}
	return respond(r, status, "<Error><Code>"+code+"</Code><Message>The message of "+code+"</Message></Error>", "Content-Type", "application/xml")
}

func etagOf(content []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(content)) }

func (m *memory) answer(r *http.Request, body []byte) *http.Response {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	content, exists := m.objects[key]
	switch {
	case bucket != memoryBucket:
		return refuse(r, http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodGet && key == "":
		return respond(r, http.StatusOK, m.list(query.Get("prefix"), query.Get("delimiter")), "Content-Type", "application/xml")
	case query.Has("uploads"):
		id := fmt.Sprint("upload", len(m.uploads))
		m.uploads[id] = map[int][]byte{}
		return respond(r, http.StatusOK, "<InitiateMultipartUploadResult><UploadId>"+id+"</UploadId></InitiateMultipartUploadResult>")
	case query.Has("uploadId"):
		parts, ok := m.uploads[query.Get("uploadId")]
		if !ok {
			return refuse(r, http.StatusNotFound, "NoSuchUpload")
		}
		switch r.Method {
		case http.MethodPut:
			n, _ := strconv.Atoi(query.Get("partNumber"))
			parts[n] = body
			return respond(r, http.StatusOK, "", "ETag", etagOf(body))
		case http.MethodDelete:
			delete(m.uploads, query.Get("uploadId"))
			return respond(r, http.StatusNoContent, "")
		}
		var whole, sums []byte
		for _, n := range slices.Sorted(maps.Keys(parts)) {
			sum := md5.Sum(parts[n])
			whole, sums = append(whole, parts[n]...), append(sums, sum[:]...)
		}
		m.objects[key] = whole
		delete(m.uploads, query.Get("uploadId"))
		m.objects["etag of "+key] = fmt.Appendf(nil, `"%x-%d"`, md5.Sum(sums), len(parts))
		return respond(r, http.StatusOK, "<CompleteMultipartUploadResult><ETag>"+string(m.objects["etag of "+key])+"</ETag></CompleteMultipartUploadResult>")
	case r.Method == http.MethodPut:
		m.objects[key] = body
		return respond(r, http.StatusOK, "", "ETag", etagOf(body))
	case r.Method == http.MethodDelete:
		delete(m.objects, key)
		return respond(r, http.StatusNoContent, "")
	case !exists:
		return refuse(r, http.StatusNotFound, "NoSuchKey")
	}
	tag := etagOf(content)
	if combined, ok := m.objects["etag of "+key]; ok {
		tag = string(combined)
	}
	header := []string{"ETag", tag, "Last-Modified", time.Now().UTC().Format(http.TimeFormat), "Content-Type", "application/octet-stream"}
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil || r.Method == http.MethodHead {
		resp := respond(r, http.StatusOK, string(content), header...)
		if r.Method == http.MethodHead {
			resp.Body = http.NoBody
		}
		return resp
	}
	if match := r.Header.Get("If-Match"); match != "" && match != tag {
		return refuse(r, http.StatusPreconditionFailed, "PreconditionFailed")
	}
	if first >= len(content) {
		return refuse(r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	}
	last = min(last, len(content)-1)
	header = append(header, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(content)))
	return respond(r, http.StatusPartialContent, string(content[first:last+1]), header...)
}

func (m *memory) list(prefix, delimiter string) string {
	var b bytes.Buffer
	fmt.Fprint(&b, "<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>")
	last := ""
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok || strings.HasPrefix(key, "etag of ") {
			continue
		}
		if folder, _, ok := strings.Cut(rest, delimiter); ok && delimiter != "" {
			if folder != last {
				fmt.Fprintf(&b, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", escape(prefix+folder+delimiter))
			}
			last = folder
			continue
		}
		fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>%d</Size><LastModified>2030-01-01T00:00:00Z</LastModified></Contents>", escape(key), len(m.objects[key]))
	}
	fmt.Fprint(&b, "</ListBucketResult>")
	return b.String()
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// pattern returns bytes of which no two ranges are alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%08x", crc32.ChecksumIEEE(fmt.Append(nil, i)))
	}
	return b[:n]
}

// get reads an object to its end.
func get(t testing.TB, store *Store, key string) ([]byte, error) {
	t.Helper()
	object, err := store.GetObject(t.Context(), sdk.GetObjectInput{Bucket: memoryBucket, Key: key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}
