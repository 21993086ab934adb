package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// usable reports whether a status can be in an answer.
func usable(status uint16) bool { return status >= 200 && status < 600 }

// FuzzListAnswers lists at servers that answer in any way: the list ends, and
// names nothing twice.
func FuzzListAnswers(f *testing.F) {
	page := func(more bool, rest string) []byte {
		return fmt.Appendf(nil, `<?xml version="1.0"?><ListBucketResult><IsTruncated>%v</IsTruncated>%s</ListBucketResult>`, more, rest)
	}
	last := page(false, "<Contents><Key>b</Key></Contents><CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>")
	f.Add(page(true, "<NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key></Contents>"), last, false)
	f.Add(page(true, "<NextMarker>a</NextMarker><Contents><Key>a</Key></Contents><Contents/>"), last, true)
	f.Add(page(true, ""), page(true, "<Contents><Key>z</Key></Contents>"), true)
	f.Add([]byte("<Error><Code>NoSuchBucket</Code></Error>"), last, false)
	f.Add([]byte(""), []byte("<"), false)
	f.Fuzz(func(t *testing.T, first, second []byte, delimited bool) {
		server := &answers{all: []reply{{status: 200, body: first}, {status: 200, body: second}}}
		store := server.store()
		var names []string
		for o, err := range store.List(t.Context(), "bucket", "") {
			if err != nil && (strings.Contains(err.Error(), "do not end") || o.Key != "") {
				t.Fatal(o, err)
			}
		}
		server.requests.Store(0)
		var err error
		if delimited {
			var listed sdk.ListCommonPrefixesResult
			listed, err = store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: "bucket", Delimiter: "/"})
			names = listed.Prefixes
		} else {
			var listed sdk.ListObjectsResult
			listed, err = store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "bucket"})
			names = listed.Keys
			slices.Reverse(names)
		}
		if err != nil && strings.Contains(err.Error(), "do not end") {
			t.Fatal(err)
		}
		if err == nil && !bytes.Contains(first, []byte("<")) && !bytes.Contains(second, []byte("<")) {
			t.Errorf("%q and %q are lists", first, second)
		}
		if err == nil && (!slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names)) {
			t.Errorf("listed %q", names)
		}
	})
}

// FuzzErrorAnswers makes each call at servers that answer in any way: nothing is
// taken for success or for absence that is not.
func FuzzErrorAnswers(f *testing.F) {
	f.Add(uint16(404), "", []byte("<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"))
	f.Add(uint16(301), "there", []byte("<Error><Code>PermanentRedirect</Code></Error>"))
	f.Add(uint16(400), "", []byte("<Error><Code>InvalidArgument</Code><Message>Content-MD5</Message></Error>"))
	f.Add(uint16(503), "", []byte("<html>"))
	f.Add(uint16(200), "", []byte("<Error><Code>InternalError</Code></Error>"))
	f.Add(uint16(416), "\xff", []byte(`{"code": 1}`))
	f.Fuzz(func(t *testing.T, status uint16, region string, body []byte) {
		if !usable(status) {
			return
		}
		server := &answers{all: []reply{{int(status), http.Header{"X-Amz-Bucket-Region": {region}, "X-Amz-Request-Id": {"id"}}, body}}}
		store, ctx, good := server.store(), t.Context(), status < 300
		if o, err := store.Stat(ctx, "bucket", "key"); err == nil && !good || errors.Is(err, fs.ErrNotExist) && status != http.StatusNotFound {
			t.Errorf("stat: %+v, %v", o, err)
		}
		found, err := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: "bucket", Key: "key"})
		if found.Exists && !good || err == nil && !found.Exists && status != http.StatusNotFound {
			t.Errorf("exists: %v, %v", found.Exists, err)
		}
		if _, err := store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: "bucket", Key: "key"}); err == nil && !good && !bytes.Contains(body, []byte("NoSuchKey")) {
			t.Error("deleted")
		}
		if _, err := store.PutObject(ctx, sdk.PutObjectInput{Bucket: "bucket", Key: "key", Body: strings.NewReader("object")}); err == nil && !good {
			t.Error("stored")
		}
		if _, err := store.PutObject(ctx, sdk.PutObjectInput{Bucket: "bucket", Key: "key", Body: bytes.NewReader(make([]byte, 10_000))}); err == nil && !bytes.Contains(body, []byte("UploadId")) {
			t.Error("stored in parts without an upload")
		}
		object, err := store.GetObject(ctx, sdk.GetObjectInput{Bucket: "bucket", Key: "key"})
		if err == nil && !good {
			t.Error("got")
		}
		if err == nil {
			got, err := io.ReadAll(object.Body)
			if err == nil && !bytes.Equal(got, body) {
				t.Errorf("got %q of %q", got, body)
			}
			object.Body.Close()
		}
	})
}

// FuzzRegionAnswer discovers the region of a bucket at any server.
func FuzzRegionAnswer(f *testing.F) {
	f.Add(uint16(200), "eu-west-1", []byte{})
	f.Add(uint16(301), "", []byte("<Error><Code>PermanentRedirect</Code></Error>"))
	f.Add(uint16(403), "us-east-1\r\nx: y", []byte{})
	f.Add(uint16(404), "", []byte{})
	f.Fuzz(func(t *testing.T, status uint16, header string, body []byte) {
		if !usable(status) {
			return
		}
		server := &answers{all: []reply{{int(status), http.Header{"X-Amz-Bucket-Region": {header}}, body}}}
		region, err := bucketRegion(context.Background(), server.config(), settings{bucket: "bucket", pathStyle: true}, "")
		if (region == "") == (err == nil) || strings.TrimSpace(region) != strings.TrimSpace(header) && region != "" {
			t.Errorf("region %q, %v", region, err)
		}
	})
}
