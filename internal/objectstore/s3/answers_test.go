package s3

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

// answers is a server that answers its requests in order, and the later ones as
// the last.
type answers struct {
	all      []reply
	requests atomic.Int32
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// Do implements aws.HTTPClient.
func (s *answers) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	n := int(s.requests.Add(1))
	if n > 10_000 {
		return nil, errors.New("the requests do not end")
	}
	a := s.all[min(n, len(s.all))-1]
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// store returns a store that has the server behind it and tries once.
func (s *answers) store() *Store {
	log := slog.New(slog.DiscardHandler)
	store := New(log)
	store.current.Store(&location{
		log: log, region: "here", client: newClient(s.config(), "http://127.0.0.1:1", true),
		integrity: newIntegrity(checksumMode{algorithm: "CRC32"}, log), pool: transfer.NewPool(4096, 2), concurrency: 1,
	})
	return store
}

func (s *answers) config() aws.Config {
	return aws.Config{
		Region: "here", HTTPClient: s, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
}

// The first range of an object of unknown size must not pass for all of it.
func TestRangeWithoutSize(t *testing.T) {
	ranged := func(header, body string) reply {
		return reply{http.StatusPartialContent, http.Header{"Content-Range": {header}, "Etag": {`"tag"`}}, []byte(body)}
	}
	whole := reply{http.StatusOK, http.Header{"Etag": {`"tag"`}}, []byte("abcdefgh")}
	for what, c := range map[string]struct {
		all  []reply
		want string
	}{
		"a server that tells the size of no range": {[]reply{ranged("bytes 0-3/*", "abcd"), whole}, "abcdefgh"},
		"a server that tells it never":             {[]reply{ranged("bytes 0-3/*", "abcd")}, ""},
	} {
		server := &answers{all: c.all}
		object, err := server.store().GetObject(t.Context(), sdk.GetObjectInput{Bucket: "bucket", Key: "key"})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(object.Body)
			object.Body.Close()
		}
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// The page of a proxy must not pass for an empty bucket.
func TestNoList(t *testing.T) {
	for _, body := range []string{"", "<html><body>welcome</body></html>", "<Result/>"} {
		store := (&answers{all: []reply{{status: http.StatusOK, body: []byte(body)}}}).store()
		if listed, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "bucket"}); err == nil {
			t.Errorf("%q: listed %q", body, listed.Keys)
		}
		if listed, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: "bucket", Delimiter: "/"}); err == nil {
			t.Errorf("%q: listed %q", body, listed.Prefixes)
		}
	}
}
