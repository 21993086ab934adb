package answer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/internal/transfer"
)

const object = "abcdefgh"

func compressed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// content notes whether it was closed.
type content struct {
	io.Reader
	closed bool
}

func (c *content) Close() error { c.closed = true; return nil }

func head(status int, length int, header ...string) Head {
	h := Head{Status: status, Length: int64(length), Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		h.Header.Set(header[i], header[i+1])
	}
	return h
}

func TestRange(t *testing.T) {
	asked := transfer.Range{Offset: 0, Length: 4}
	middle := transfer.Range{Offset: 4, Length: 4}
	for name, c := range map[string]struct {
		head  Head
		asked transfer.Range
		body  string
		want  string
		size  int64
		err   error
	}{
		"the range":                       {head(206, 4, "Content-Range", "bytes 0-3/8"), asked, "abcd", "abcd", 8, nil},
		"a shorter range":                 {head(206, 3, "Content-Range", "bytes 0-2/8"), asked, "abc", "abc", 8, nil},
		"the range without a length":      {head(206, -1, "Content-Range", "bytes 0-3/8"), asked, "abcdefgh", "abcd", 8, nil},
		"a range with status 200":         {head(200, 4, "Content-Range", "bytes 0-3/8"), asked, "abcd", "abcd", 8, nil},
		"a later range of unknown size":   {head(206, 4, "Content-Range", "bytes 4-7/*"), middle, "efgh", "efgh", -1, nil},
		"the first range, no size":        {head(206, 4, "Content-Range", "bytes 0-3/*"), asked, "abcd", "", 0, ErrRangeUnknown},
		"another range":                   {head(206, 4, "Content-Range", "bytes 4-7/8"), asked, "efgh", "", 0, ErrRangeWrong},
		"an earlier range":                {head(206, 4, "Content-Range", "bytes 0-3/8"), middle, "abcd", "", 0, ErrRangeWrong},
		"a longer range":                  {head(206, 8, "Content-Range", "bytes 0-7/8"), asked, object, "", 0, ErrRangeWrong},
		"another length":                  {head(206, 3, "Content-Range", "bytes 0-3/8"), asked, "abc", "", 0, ErrRangeWrong},
		"no Content-Range":                {head(206, 4), asked, "abcd", "", 0, ErrRangeUnknown},
		"a status that lost its range":    {head(200, 4), asked, "abcd", "", 0, ErrRangeUnknown},
		"the whole object":                {head(200, 8), asked, object, object, 8, nil},
		"the whole object without an end": {head(200, -1), asked, object, "", 0, ErrRangeUnknown},
		"compressed on the way":           {head(206, -1, "Content-Range", "bytes 0-3/8", "Content-Encoding", "gzip"), asked, compressed("abcd"), "abcd", 8, nil},
		"stored compressed":               {head(206, 4, "Content-Range", "bytes 0-3/8", "Content-Encoding", "gzip"), asked, "abcd", "abcd", 8, nil},
		"compressed in an unknown way":    {head(206, -1, "Content-Range", "bytes 0-3/8", "Content-Encoding", "br"), asked, "....", "", 0, ErrEncoded},
		"left behind by a client":         {head(206, 4, "Content-Range", "bytes 0-3/8", "Content-Encoding", "aws-chunked, identity"), asked, "abcd", "abcd", 8, nil},
		"a compressed whole object":       {head(200, 90, "Content-Encoding", "gzip"), asked, compressed(object), "", 0, ErrRangeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			c.head.Header.Set("ETag", `W/"tag"`)
			in := &content{Reader: strings.NewReader(c.body)}
			body, err := c.head.Range(c.asked, in)
			if c.err != nil {
				if !errors.Is(err, c.err) || !in.closed {
					t.Errorf("error %v, closed: %v", err, in.closed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || string(got) != c.want || body.Size != c.size || body.Version != `"tag"` {
				t.Errorf("%q of %d bytes, version %s, %v", got, body.Size, body.Version, err)
			}
			if body.Close(); !in.closed {
				t.Error("the content is not closed")
			}
		})
	}
}

func TestWhole(t *testing.T) {
	stat := head(200, 8)
	stored := head(200, 32, "Content-Encoding", "gzip")
	changed := head(200, 8, "ETag", "other")
	for name, c := range map[string]struct {
		head Head
		stat *Head
		body string
		want string
		err  error
	}{
		"with its length":              {head(200, 8), nil, object, object, nil},
		"a range that is all":          {head(206, 8, "Content-Range", "bytes 0-7/8"), nil, object, object, nil},
		"all, without a length":        {head(206, -1, "Content-Range", "bytes 0-7/8"), nil, object, object, nil},
		"a range that is not all":      {head(206, 4, "Content-Range", "bytes 0-3/8"), nil, "abcd", "", ErrRangeWrong},
		"a range of which nobody says": {head(206, 4), nil, "abcd", "", ErrRangeWrong},
		"without a length":             {head(200, -1), &stat, object, object, nil},
		"nothing tells the length":     {head(200, -1), &Head{Length: -1}, object, "", ErrLengthUnknown},
		"replaced meanwhile":           {head(200, -1), &changed, object, "", ErrLengthUnknown},
		"compressed on the way":        {head(200, -1, "Content-Encoding", "gzip"), &stat, compressed(object), object, nil},
		"compressed, with a length":    {head(200, 32, "Content-Encoding", "gzip"), &stat, compressed(object), object, nil},
		"stored compressed":            {head(200, 32, "Content-Encoding", "gzip"), &stored, compressed(object), compressed(object), nil},
		"compressed in an unknown way": {head(200, 4, "Content-Encoding", "br"), &stat, "....", "", ErrEncoded},
		"stored in another way":        {head(200, 4, "Content-Encoding", "br"), &stored, "....", "", ErrEncoded},
	} {
		t.Run(name, func(t *testing.T) {
			in := &content{Reader: strings.NewReader(c.body)}
			body, err := c.head.Whole(in, c.stat)
			if c.err != nil {
				if !errors.Is(err, c.err) || !in.closed {
					t.Errorf("error %v, closed: %v", err, in.closed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err != nil || string(got) != c.want || !body.Whole || body.Size < 0 {
				t.Errorf("%q of %d bytes, %v", got, body.Size, err)
			}
		})
	}
}

// A compressed body that is cut, or that is none, is an error and not an end.
func TestCutCompressedBody(t *testing.T) {
	whole := compressed(object)
	for _, body := range []string{"", whole[:3], whole[:len(whole)-1], "not compressed at all"} {
		h := head(206, -1, "Content-Range", "bytes 0-7/8", "Content-Encoding", "gzip")
		b, err := h.Range(transfer.Range{Length: 8}, io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err == nil && string(got) != object {
			t.Errorf("%q: %q", body, got)
		}
	}
}

func TestContentRange(t *testing.T) {
	for in, want := range map[string]span{
		"bytes 0-8388607/268435456": {0, 8388607, 268435456},
		"bytes 5-9/*":               {5, 9, -1},
		"bytes 0-0/1":               {0, 0, 1},
	} {
		if got, err := parseContentRange(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "bytes", "bytes 0-1", "bytes a-b/c", "bytes */5", "bytes -1-2/3", "0/1", "bytes 3-2/8", "bytes 0-8/8", "bytes +0-1/8", "items 0-1/8",
	} {
		if got, err := parseContentRange(in); !errors.Is(err, ErrRangeWrong) {
			t.Errorf("%q gives %+v", in, got)
		}
	}
}

// FuzzContentRange reads any header.
func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-8388607/268435456", "bytes 5-9/*", "bytes */5", "bytes 9223372036854775807-/1", "-/", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := parseContentRange(header)
		if err == nil && (got.first < 0 || got.last < got.first || got.size >= 0 && got.size <= got.last) {
			t.Errorf("%q gives %+v", header, got)
		}
	})
}

func TestDocument(t *testing.T) {
	for body, want := range map[string]string{
		"":                                  "",
		"   \n \t":                          "",
		"{\"a\": 1}":                        "",
		"<!DOCTYPE html><html><p>hello":     "html",
		"\n\n<?xml version=\"1.0\"?>\n<A/>": "A",
		"<a:B xmlns:a='x'>":                 "B",
	} {
		for _, encoding := range []string{"", "gzip"} {
			r := &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: int64(len(body))}
			r.Body = io.NopCloser(strings.NewReader(body))
			if encoding != "" {
				r.Header.Set("Content-Encoding", encoding)
				r.Body = io.NopCloser(strings.NewReader(compressed(body)))
			}
			d, err := ReadDocument(r)
			if err != nil || d.Root() != want || string(d.Content) != body {
				t.Errorf("%q: %+v, %v", body, d, err)
				continue
			}
			if again, err := io.ReadAll(r.Body); err != nil || string(again) != body {
				t.Errorf("%q: the body is %q, %v", body, again, err)
			}
		}
	}
}

// Each answer that no store wrote names its status, who sent it and what to do.
func TestPage(t *testing.T) {
	for status, want := range map[int]struct{ text, fix string }{
		200: {`HTTP 200 OK from the server "nginx/1.25", with the text "Welcome & hello", which is not`, "correct s3Url: this is the address of a web console"},
		302: {`a redirect to "login.example.com"`, "correct s3Url: something at this address redirects"},
		405: {"HTTP 405 Method Not Allowed", "correct s3Url: a server or proxy at this address does not know the methods"},
		407: {"HTTP 407", "HTTPS_PROXY"},
		413: {"HTTP 413 Request Entity Too Large", "to at least 6 MiB"},
		503: {"HTTP 503", "look after the store behind this proxy or route"},
	} {
		r := &http.Response{StatusCode: status, Header: http.Header{"Server": {"nginx/1.25"}}}
		if status == 302 {
			r.Header.Set("Location", "https://login.example.com/?token=secret")
		}
		content := "<html><head><title>Welcome &\n hello</title></head>secret</html>"
		p := PageOf(r, &Document{Content: []byte(content)})
		if !strings.Contains(p.Error(), want.text) || strings.Contains(p.Error(), "secret") {
			t.Errorf("%d: %v", status, p)
		}
		if fix := p.Fix("s3Url", 5<<20+1); !strings.Contains(fix, want.fix) {
			t.Errorf("%d: fix %s", status, fix)
		}
		if fix := p.Fix("", 5<<20+1); strings.Contains(fix, "correct") || fix == "" {
			t.Errorf("%d without a key: fix %s", status, fix)
		}
	}
}

func TestAbsence(t *testing.T) {
	for _, cause := range []string{"HTTP 404", "NoSuchKey: the specified key does not exist", "BlobNotFound"} {
		err := Reword(Absent(errors.New(cause)))
		if !errors.Is(err, fs.ErrNotExist) || !SaysAbsent(err.Error()) || !strings.Contains(err.Error(), cause) {
			t.Errorf("%q: %v", cause, err)
		}
	}
	for in, want := range map[string]string{
		"NoSuchBucket: The specified bucket does not exist": "NoSuchBucket: The specified bucket is missing",
		"Not Found, NOT FOUND":                              "missing, missing",
		"error getting backups/nosuchkey/b: timeout":        "error getting backups/nosuch-key/b: timeout",
		"BlobNotFound ObjectNotExist":                       "Blob-NotFound Object-NotExist",
		"nothing special":                                   "nothing special",
	} {
		cause := errors.New(in)
		err := Reword(cause)
		if err.Error() != want || SaysAbsent(err.Error()) || !errors.Is(err, cause) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if Reword(nil) != nil {
		t.Error("no error becomes one")
	}
}
