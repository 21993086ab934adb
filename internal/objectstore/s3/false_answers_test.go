package s3

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/oadp-plugins/oadp-plugins/sdk"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
)

// completion matches the last request of an upload in parts.
func completion(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// What a proxy makes of the answer to CompleteMultipartUpload: an upload succeeds
// only if the object is there.
func TestCompletionIsNotBelievedBlindly(t *testing.T) {
	replace := func(body string) func(*http.Request, *http.Response) (*http.Response, error) {
		return func(r *http.Request, _ *http.Response) (*http.Response, error) {
			return respond(r, http.StatusOK, body), nil
		}
	}
	cut := func(r *http.Request, resp *http.Response) (*http.Response, error) {
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("<CompleteMulti"), failing{io.ErrUnexpectedEOF}))
		return resp, nil
	}
	for name, lie := range map[string]func(*http.Request, *http.Response) (*http.Response, error){
		"nothing":              replace(""),
		"blanks":               replace("   \n   "),
		"a page":               replace("<html><body>please wait</body></html>"),
		"a result with no tag": replace("<CompleteMultipartUploadResult/>"),
		"a cut result":         replace("<CompleteMultipartUploadResult><ETa"),
		"a connection cut":     cut,
	} {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, stored %v", name, stored), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					m.before = func(r *http.Request) *http.Response {
						if !stored && completion(r) {
							resp, _ := lie(r, respond(r, http.StatusOK, ""))
							return resp
						}
						return nil
					}
					m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
						if completion(r) && resp.StatusCode == http.StatusOK {
							return lie(r, resp)
						}
						return resp, nil
					}
					_, err := m.store(3).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(pattern(5 * memoryPart))})
					if (err == nil) != stored || stored != bytes.Equal(m.objects["k"], pattern(5*memoryPart)) {
						t.Errorf("error %v, %d bytes are stored", err, len(m.objects["k"]))
					}
					if len(m.uploads) != 0 {
						t.Error("the parts are left behind")
					}
				})
			})
		}
	}
	t.Run("only the first answer is lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			lost := false
			m.before = func(r *http.Request) *http.Response {
				if completion(r) && !lost {
					lost = true
					return respond(r, http.StatusOK, "")
				}
				return nil
			}
			if _, err := m.store(1).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(pattern(5 * memoryPart))}); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(m.objects["k"], pattern(5*memoryPart)) {
				t.Error("the object differs")
			}
		})
	})
}

// Some servers name the first element of a result in another way.
func TestResultOfAnotherName(t *testing.T) {
	m := newMemory()
	m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
		if r.URL.Query().Has("uploads") {
			return respond(r, http.StatusOK, "<InitiateMultipartUpload><UploadId>upload0</UploadId></InitiateMultipartUpload>"), nil
		}
		return resp, nil
	}
	if _, err := m.store(1).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(pattern(3 * memoryPart))}); err != nil {
		t.Error(err)
	}
}

// An object whose entity tag is not made of MD5 sums is known by its checksum.
func TestCombinedChecksum(t *testing.T) {
	var parts []types.CompletedPart
	for _, body := range []string{"hello ", "world"} {
		sums := checksumMode{algorithm: "CRC32"}.sums([]byte(body), true)
		parts = append(parts, types.CompletedPart{ChecksumCRC32: sums.crc32})
	}
	// CRC32(CRC32("hello ") CRC32("world")), computed with another program.
	if got := combined("CRC32", parts); got != "1Fu2mQ==-2" {
		t.Errorf("combined checksum %s", got)
	}
	if got := combined("", parts); got != "" {
		t.Errorf("without an algorithm: %s", got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What a proxy makes of the success of other requests.
func TestSuccessNeedsAnETag(t *testing.T) {
	page := func(r *http.Request) *http.Response {
		return respond(r, http.StatusOK, "<html>welcome</html>", "Content-Type", "text/html")
	}
	t.Run("put", func(t *testing.T) {
		m := newMemory()
		m.before = func(r *http.Request) *http.Response {
			if r.Method == http.MethodPut {
				return page(r)
			}
			return nil
		}
		if _, err := m.store(1).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")}); !errors.Is(err, errNoETag) {
			t.Errorf("error: %v", err)
		}
		m = newMemory()
		m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
			if r.Method == http.MethodPut {
				return page(r), nil // it is stored all the same
			}
			return resp, nil
		}
		if _, err := m.store(1).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")}); err != nil {
			t.Error(err)
		}
		if _, err := m.store(1).PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(pattern(5 * memoryPart))}); !errors.Is(err, errNoETag) {
			t.Errorf("in parts: %v", err)
		}
	})
	t.Run("look and get", func(t *testing.T) {
		m := newMemory()
		m.before = page
		store := m.store(1)
		if found, err := store.ObjectExists(t.Context(), sdk.ObjectExistsInput{Bucket: memoryBucket, Key: "k"}); found.Exists || !errors.Is(err, CodeFalseAnswer) {
			t.Errorf("exists: %v, %v", found.Exists, err)
		}
		if o, err := store.Stat(t.Context(), memoryBucket, "k"); err == nil {
			t.Errorf("stat: %+v", o)
		}
		if got, err := get(t, store, "k"); err == nil {
			t.Errorf("got %q", got)
		}
	})
}

// Ranges whose headers were lost or changed on the way. Nothing is delivered that
// is not the object.
func TestRangesAreNotBelievedBlindly(t *testing.T) {
	content := pattern(5*memoryPart + 7)
	ranged := func(change func(*http.Request, *http.Response)) func(*http.Request, *http.Response) (*http.Response, error) {
		return func(r *http.Request, resp *http.Response) (*http.Response, error) {
			if r.Method == http.MethodGet && r.Header.Get("Range") != "" && resp.StatusCode == http.StatusPartialContent {
				change(r, resp)
			}
			return resp, nil
		}
	}
	for name, c := range map[string]struct {
		lie   func(*http.Request, *http.Response)
		works bool // the object can be had all the same
	}{
		"no Content-Range": {func(_ *http.Request, resp *http.Response) { resp.Header.Del("Content-Range") }, true},
		"no Content-Range and status 200": {func(_ *http.Request, resp *http.Response) {
			resp.Header.Del("Content-Range")
			resp.StatusCode = http.StatusOK
		}, true},
		"no Content-Range, status 200 and no length": {func(_ *http.Request, resp *http.Response) {
			resp.Header.Del("Content-Range")
			resp.StatusCode, resp.ContentLength = http.StatusOK, -1
		}, true},
		"another range": {func(_ *http.Request, resp *http.Response) { resp.Header.Set("Content-Range", "bytes 4-7/5127") }, false},
		"a size that grows": {func(r *http.Request, resp *http.Response) {
			if r.Header.Get("If-Match") != "" {
				resp.Header.Set("Content-Range", strings.Replace(resp.Header.Get("Content-Range"), "/5127", "/9999", 1))
			}
		}, false},
		"weak tags": {func(_ *http.Request, resp *http.Response) { resp.Header.Set("ETag", "W/"+resp.Header.Get("ETag")) }, true},
		"a tag that is lost": {func(r *http.Request, resp *http.Response) {
			dropIf(r.Header.Get("If-Match") != "", resp, "ETag", "X-Amz-Request-Id")
		}, false},
		"compressed":            {func(_ *http.Request, resp *http.Response) { compress(resp, -1) }, true},
		"bodies that end early": {func(_ *http.Request, resp *http.Response) { resp.Body = io.NopCloser(io.LimitReader(resp.Body, 1000)) }, true},
		"compressed in an unknown way": {func(_ *http.Request, resp *http.Response) {
			resp.Header.Set("Content-Encoding", "zstd")
			resp.ContentLength = -1
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.objects["k"] = content
				m.after = ranged(c.lie)
				got, err := get(t, m.store(1), "k")
				if !bytes.HasPrefix(content, got) || err == nil && len(got) != len(content) {
					t.Errorf("wrong bytes: %d, %v", len(got), err)
				}
				if (err == nil) != c.works {
					t.Errorf("error: %v", err)
				}
				if err != nil && !strings.Contains(err.Error(), "fix: ") {
					t.Errorf("no fix: %v", err)
				}
			})
		})
	}
}

func dropIf(when bool, resp *http.Response, names ...string) {
	if when {
		for _, name := range names {
			resp.Header.Del(name)
		}
	}
}

// compress does to an answer what a proxy does that compresses everything.
func compress(resp *http.Response, length int64) {
	content, _ := io.ReadAll(resp.Body)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	resp.Header.Set("Content-Encoding", "gzip")
	resp.Body, resp.ContentLength = io.NopCloser(&b), length
	if length > 0 {
		resp.ContentLength = int64(b.Len())
	}
}

// A proxy that compresses everything changes neither objects nor lists nor
// results.
func TestProxyThatCompresses(t *testing.T) {
	for _, length := range []int64{-1, 1} {
		m := newMemory()
		m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
			if r.Method != http.MethodHead && resp.ContentLength > 0 {
				compress(resp, length)
			}
			return resp, nil
		}
		store := m.store(1)
		for key, size := range map[string]int{"small": 14, "large": 5*memoryPart + 1, "zeros": 0} {
			content := pattern(size)
			if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: key, Body: bytes.NewReader(content)}); err != nil {
				t.Fatal(err)
			}
			if got, err := get(t, store, key); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
			if o, err := store.Stat(t.Context(), memoryBucket, key); err != nil || o.Size != int64(size) {
				t.Errorf("%s: %+v, %v", key, o, err)
			}
		}
		if listed, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket}); err != nil || len(listed.Keys) != 3 {
			t.Errorf("listed %q, %v", listed.Keys, err)
		}
		if _, err := get(t, store, "absent"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("absent: %v", err)
		}
	}
}

// An object that somebody stored compressed is delivered as it is stored.
func TestObjectStoredCompressed(t *testing.T) {
	m := newMemory()
	m.objects["k"] = pattern(3*memoryPart + 1)
	m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
		resp.Header.Set("Content-Encoding", "gzip")
		return resp, nil
	}
	store := m.store(1)
	if got, err := get(t, store, "k"); err != nil || !bytes.Equal(got, m.objects["k"]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
		if r.Method == http.MethodGet && r.URL.Query().Has("list-type") {
			return resp, nil
		}
		resp.Header.Set("Content-Encoding", "gzip")
		return resp, nil
	}
	if o, err := store.Stat(t.Context(), memoryBucket, "k"); err != nil || o.Size != 3*memoryPart+1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// An upload keeps the checksums that it began with, whatever other uploads meet
// meanwhile.
func TestUploadKeepsItsMode(t *testing.T) {
	m := newMemory()
	store := m.store(1)
	l := store.current.Load()
	u := &upload{location: l, bucket: memoryBucket, key: "large"}
	if err := u.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := u.Part(t.Context(), 1, pattern(memoryPart))
	if err != nil {
		t.Fatal(err)
	}
	m.before = func(r *http.Request) *http.Response {
		if r.Header.Get("X-Amz-Checksum-Crc32") != "" {
			return refuse(r, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		}
		return nil
	}
	if _, err := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "small", Body: strings.NewReader("object")}); err != nil {
		t.Fatal(err)
	}
	m.before = nil
	second, err := u.Part(t.Context(), 2, pattern(memoryPart))
	if err != nil {
		t.Fatal(err)
	}
	if first.ChecksumCRC32 == nil || second.ChecksumCRC32 == nil {
		t.Error("a part lost its checksum")
	}
	if err := u.Commit(t.Context(), []types.CompletedPart{first, second}); err != nil {
		t.Error(err)
	}
	// A part that is refused after others were accepted is damaged, not unknown.
	m.before = func(r *http.Request) *http.Response {
		if r.Header.Get("X-Amz-Checksum-Crc32") != "" {
			return refuse(r, http.StatusBadRequest, "InvalidRequest")
		}
		return nil
	}
	u = &upload{location: l, bucket: memoryBucket, key: "large", parts: newIntegrity(checksumMode{algorithm: "CRC32"}, l.log).forParts(checksumMode{algorithm: "CRC32"})}
	u.parts.accepted.Store(true)
	if _, err := u.Part(t.Context(), 3, pattern(memoryPart)); err == nil {
		t.Error("a part goes without its checksum")
	}
}

// Whatever form the answer 404 to a deletion has, an object that is not there is
// deleted.
func TestDeletionAnswered404(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*http.Request) *http.Response
		stays  bool
		ok     bool
	}{
		"NoSuchKey":     {func(r *http.Request) *http.Response { return refuse(r, 404, "NoSuchKey") }, false, true},
		"NotFound":      {func(r *http.Request) *http.Response { return refuse(r, 404, "NotFound") }, false, true},
		"no body":       {func(r *http.Request) *http.Response { return respond(r, 404, "") }, false, true},
		"JSON":          {func(r *http.Request) *http.Response { return respond(r, 404, `{"code": "not found"}`) }, false, true},
		"NoSuchBucket":  {func(r *http.Request) *http.Response { return refuse(r, 404, "NoSuchBucket") }, false, false},
		"another error": {func(r *http.Request) *http.Response { return refuse(r, 403, "AccessDenied") }, false, false},
		"a page of a proxy, and the object is there": {func(r *http.Request) *http.Response {
			return respond(r, 404, "default backend - 404", "Content-Type", "text/plain")
		}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			m.objects["k2"] = nil
			if c.stays {
				m.objects["k"] = nil
			}
			m.before = func(r *http.Request) *http.Response {
				if r.Method == http.MethodDelete {
					return c.answer(r)
				}
				return nil
			}
			if _, err := m.store(1).DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: memoryBucket, Key: "k"}); (err == nil) != c.ok || err != nil && answer.SaysAbsent(err.Error()) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// A list of something else, as a cache sends that does not look at the query, must
// not make Velero delete what it names.
func TestListOfSomethingElse(t *testing.T) {
	m := newMemory()
	m.objects["backups/a/x"], m.objects["backups/b/x"] = nil, nil
	other := m.list("", "")
	m.before = func(r *http.Request) *http.Response { return respond(r, 200, other) }
	store := m.store(1)
	if listed, err := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket, Prefix: "backups/a/"}); !errors.Is(err, errOtherList) || !errors.Is(err, CodeFalseAnswer) {
		t.Errorf("listed %q, %v", listed.Keys, err)
	}
	// A server that does not know delimiters lists the objects themselves.
	if listed, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: memoryBucket, Prefix: "backups/", Delimiter: "/"}); err != nil || strings.Join(listed.Prefixes, " ") != "backups/a/ backups/b/" {
		t.Errorf("prefixes %q, %v", listed.Prefixes, err)
	}
	other = m.list("", "/")
	if listed, err := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: memoryBucket, Prefix: "backups/", Delimiter: "/"}); err == nil {
		t.Errorf("prefixes %q", listed.Prefixes)
	}
}

// Velero takes an error whose text says that something is absent for the absence
// of the object, and deletes the backup.
func TestOnlyAbsenceSoundsLikeAbsence(t *testing.T) {
	type failure struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		absent bool
	}
	static := func(resp func(*http.Request) *http.Response) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) { return resp(r), nil }
	}
	xml := func(status int, code, message string) func(*http.Request) (*http.Response, error) {
		return static(func(r *http.Request) *http.Response {
			return respond(r, status, "<Error><Code>"+code+"</Code><Message>"+message+"</Message></Error>", "Content-Type", "application/xml")
		})
	}
	failures := []failure{
		{"absent object", xml(404, "NoSuchKey", "The specified key does not exist."), true},
		{"absent object, other words", xml(404, "NoSuchKey", "gone"), true},
		{"absent object without a body", static(func(r *http.Request) *http.Response { return respond(r, 404, "") }), true},
		{"absent bucket", xml(404, "NoSuchBucket", "The specified bucket does not exist"), false},
		{"absent KMS key", xml(404, "kms:KeyNotFound", "The key was not found"), false},
		{"absent access key", xml(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."), false},
		{"page of an ingress", static(func(r *http.Request) *http.Response {
			return respond(r, 404, "<html><h1>404 Not Found</h1></html>", "Content-Type", "text/html")
		}), false},
		{"text of a default backend", static(func(r *http.Request) *http.Response { return respond(r, 404, "default backend - 404 not found") }), false},
		{"welcome page", static(func(r *http.Request) *http.Response { return respond(r, 200, "not found") }), false},
		{"host unknown", func(*http.Request) (*http.Response, error) { return nil, errors.New("lookup store: host not found") }, false},
		{"deadline", func(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }, false},
	}
	for code := range apiCodes {
		if code != "NoSuchKey" && code != "NotFound" {
			failures = append(failures, failure{code, xml(400, code, "it does not exist, was not found: NoSuchKey"), false})
		}
	}
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			store := (&answering{f.answer}).store()
			_, err := get(t, store, "backups/objectnotexist/b.tar.gz")
			if err == nil || answer.SaysAbsent(err.Error()) != f.absent || errors.Is(err, fs.ErrNotExist) != f.absent {
				t.Errorf("get: %v", err)
			}
			if !strings.HasPrefix(err.Error(), "error getting object backups/") {
				t.Errorf("get: %v", err)
			}
			_, listErr := store.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: memoryBucket})
			_, prefixErr := store.ListCommonPrefixes(t.Context(), sdk.ListCommonPrefixesInput{Bucket: memoryBucket, Delimiter: "/"})
			_, putErr := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: strings.NewReader("object")})
			_, partsErr := store.PutObject(t.Context(), sdk.PutObjectInput{Bucket: memoryBucket, Key: "k", Body: bytes.NewReader(pattern(3 * memoryPart))})
			for what, err := range map[string]error{"list": listErr, "prefixes": prefixErr, "put": putErr, "parts": partsErr} {
				if err != nil && answer.SaysAbsent(err.Error()) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := store.DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: memoryBucket, Key: "k"}); err != nil && answer.SaysAbsent(err.Error()) {
				t.Errorf("delete: %v", err)
			}
		})
	}
}

// answering is a server that answers each request by a function.
type answering struct {
	answer func(*http.Request) (*http.Response, error)
}

func (a *answering) Do(r *http.Request) (*http.Response, error) { return a.answer(r) }

func (a *answering) store() *Store {
	m := newMemory()
	m.after = func(r *http.Request, _ *http.Response) (*http.Response, error) { return a.answer(r) }
	return m.store(1)
}
