package azblob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/answer"
	"github.com/oadp-plugins/oadp-plugins/internal/objectstore/azblob"
	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/sdk/fault"
	"github.com/oadp-plugins/oadp-plugins/test/support/testfile"
)

// Objects of all sizes come back as they were stored, over both servers, with the
// blob type, content type and block names of the plugin replaced.
func TestRoundTrip(t *testing.T) {
	for _, secure := range []bool{overHTTP, overTLS} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			s := newScene(t, secure)
			st, ctx := s.mustOpen(), t.Context()
			for _, size := range []int{1, blockSize - 1, blockSize, blockSize + 1, 4*blockSize + 1, 20 * mib} {
				key, body := fmt.Sprint("velero/backups/", size), random(size)
				for range 2 {
					if err := st.put(ctx, key, stream(body)); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := st.get(ctx, key); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes: %d, %v", size, len(got), err)
				}
				if !bytes.Equal(s.read(key), body) {
					t.Errorf("%d bytes are stored in another form", size)
				}
				p, err := s.client.NewBlobClient(key).GetProperties(ctx, nil)
				if err != nil || *p.BlobType != blob.BlobTypeBlockBlob || *p.ContentType != "application/octet-stream" || p.ContentEncoding != nil && *p.ContentEncoding != "" {
					t.Errorf("%d bytes: %v, %+v", size, err, p)
				}
				blocks := s.blocks(key, blockblob.BlockListTypeAll)
				if want := (size - 1) / blockSize; size > blockSize && len(blocks) != want+1 || size <= blockSize && len(blocks) > 0 {
					t.Errorf("%d bytes: %d blocks", size, len(blocks))
				}
				for _, name := range blocks {
					if len(name) != 8 {
						t.Errorf("the name %q of a block has not 8 characters", name)
					}
				}
			}
		})
	}
}

// What an upload of the plugin replaced has left behind is in no blob of ours, and
// does not keep one from being stored.
func TestBlocksOfOthers(t *testing.T) {
	s := newScene(t, overHTTP)
	st, ctx := s.mustOpen(), t.Context()
	left := s.client.NewBlockBlobClient("k")
	for n := range 3 {
		id := []byte(fmt.Sprintf("%08d", n))
		if _, err := left.StageBlock(ctx, string(id), streaming.NopCloser(strings.NewReader("left behind")), nil); err != nil {
			t.Fatal(err)
		}
	}
	body := random(3*blockSize + 1)
	if err := st.put(ctx, "k", stream(body)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.read("k"), body) {
		t.Error("the blob is another")
	}
}

// Of two writers one wins, and its object is whole.
func TestTwoWriters(t *testing.T) {
	s := newScene(t, overHTTP)
	ctx := t.Context()
	bodies := [][]byte{random(5*blockSize + 1), random(6*blockSize + 7)}
	var writers sync.WaitGroup
	failed := make([]error, 2)
	for i, body := range bodies {
		st := s.mustOpen()
		writers.Go(func() { failed[i] = st.put(ctx, "k", stream(body)) })
	}
	writers.Wait()
	if failed[0] != nil && failed[1] != nil {
		t.Fatalf("both failed: %v, %v", failed[0], failed[1])
	}
	for _, err := range failed {
		if err != nil && !errors.Is(err, azblob.CodeLeftovers) {
			t.Errorf("error: %v", err)
		}
	}
	if got := s.read("k"); !bytes.Equal(got, bodies[0]) && !bytes.Equal(got, bodies[1]) {
		t.Errorf("the blob of %d bytes is neither", len(got))
	}
}

// Whatever fails, the old object stays, and no part of the new one is seen.
func TestFailedUpload(t *testing.T) {
	s := newScene(t, overHTTP)
	var kind atomic.Value
	kind.Store("")
	address := s.behind(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		q := r.URL.Query()
		switch kind.Load() {
		case "block":
			if q.Get("comp") == "block" {
				refuse(w, http.StatusForbidden, "AuthorizationPermissionMismatch")
				return
			}
		case "commit":
			if q.Get("comp") == "blocklist" {
				refuse(w, http.StatusForbidden, "AuthorizationPermissionMismatch")
				return
			}
		case "damaged":
			if r.Method == http.MethodPut {
				r.Body = io.NopCloser(io.MultiReader(strings.NewReader("X"), skip(r.Body)))
			}
		case "no ETag":
			if r.Method == http.MethodPut {
				pass.ServeHTTP(withoutHeader{w, "ETag"}, r)
				return
			}
		}
		pass.ServeHTTP(w, r)
	})
	for _, large := range []bool{false, true} {
		for name, c := range map[string]struct {
			kind string
			body func(content []byte) io.Reader
			code fault.Code
			says string
		}{
			"body":    {"", func(b []byte) io.Reader { return io.MultiReader(stream(b), iotest.ErrReader(errBody)) }, fault.Code{}, errBody.Error()},
			"block":   {"block", stream, azblob.CodeDenied, "Storage Blob Data Contributor"},
			"commit":  {"commit", stream, azblob.CodeDenied, "Storage Blob Data Contributor"},
			"damaged": {"damaged", stream, azblob.CodeDamaged, "proxy"},
		} {
			if !large && (name == "block" || name == "commit") {
				continue
			}
			t.Run(fmt.Sprintf("%s, large %v", name, large), func(t *testing.T) {
				s.write("k", []byte("old"))
				kind.Store(c.kind)
				defer kind.Store("")
				st := s.mustOpen("storageAccountURI", address)
				size := 100
				if large {
					size = 4 * blockSize
				}
				err := st.put(t.Context(), "k", c.body(random(size)))
				says(t, name, err, "error putting object k", c.says)
				if c.code.ID != "" && !errors.Is(err, c.code) {
					t.Errorf("error: %v", err)
				}
				if got := s.read("k"); string(got) != "old" {
					t.Errorf("the object is now of %d bytes", len(got))
				}
			})
		}
	}
	kind.Store("no ETag")
	err := s.mustOpen("storageAccountURI", address).put(t.Context(), "k2", strings.NewReader("x"))
	if !errors.Is(err, azblob.CodeFalseAnswer) {
		t.Errorf("an answer without an ETag: %v", err)
	}
}

// refuse answers with an error of Blob storage.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>The message of %s.
RequestId:1
Time:2026-01-01T00:00:00Z</Message></Error>`, code, code)
}

// skip drops the first byte of a body.
func skip(r io.Reader) io.Reader {
	_, _ = r.Read(make([]byte, 1))
	return r
}

type withoutHeader struct {
	http.ResponseWriter
	name string
}

func (w withoutHeader) WriteHeader(status int) {
	w.Header().Del(w.name)
	w.ResponseWriter.WriteHeader(status)
}

// A connection that breaks, and a server that is busy for a moment, cost time and
// no bytes.
func TestInterruptions(t *testing.T) {
	s := newScene(t, overHTTP)
	var puts, gets atomic.Int32
	address := s.behind(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		switch {
		case r.URL.Query().Get("comp") == "block" && puts.Add(1) == 3:
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		case r.URL.Query().Get("comp") == "block" && puts.Load() == 4:
			refuse(w, http.StatusServiceUnavailable, "ServerBusy")
			return
		case r.URL.Query().Get("comp") == "blocklist" && puts.Add(1) < 1000:
			puts.Store(1000)
			pass.ServeHTTP(discard{http.Header{}}, r) // it is stored, but the client does not learn of it
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodGet && gets.Add(1) == 1:
			pass.ServeHTTP(&cut{ResponseWriter: w, left: 1000}, r)
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(w, r)
	})
	st, ctx := s.mustOpen("storageAccountURI", address), t.Context()
	body := random(6*blockSize + 1)
	if err := st.put(ctx, "k", stream(body)); err != nil {
		t.Fatal(err)
	}
	if got, err := st.get(ctx, "k"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if puts.Load() < 1000 || gets.Load() < 2 {
		t.Errorf("%d puts and %d gets: nothing broke", puts.Load(), gets.Load())
	}
}

// discard is an answer that reaches nobody.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// cut passes on the beginning of a body.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	n := min(c.left, len(p))
	c.left -= n
	_, err := c.ResponseWriter.Write(p[:n])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, err
}

// An object that is replaced while it is read is an error and not a mixture.
func TestReplacedWhileRead(t *testing.T) {
	s := newScene(t, overHTTP)
	st, ctx := s.mustOpen(), t.Context()
	s.write("k", random(40*blockSize))
	out, err := st.GetObject(ctx, sdk.GetObjectInput{Bucket: s.bucket, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if _, err := io.ReadFull(out.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.write("k", random(41*blockSize))
	if _, err := io.Copy(io.Discard, out.Body); !errors.Is(err, azblob.CodeChanged) {
		t.Errorf("error: %v", err)
	}
}

// What is no answer of Blob storage is an error: an empty list would make Velero
// forget its backups.
func TestFalseAnswers(t *testing.T) {
	s := newScene(t, overHTTP)
	s.write("k", random(3*blockSize))
	for name, c := range map[string]struct {
		meddle func(w http.ResponseWriter, r *http.Request, pass http.Handler)
		call   func(st *store) error
	}{
		"page for a list": {page, func(st *store) error { _, err := st.list(t.Context(), ""); return err }},
		"page for prefixes": {page, func(st *store) error {
			_, err := st.prefixes(t.Context(), "")
			return err
		}},
		"page for an object": {page, func(st *store) error { _, err := st.get(t.Context(), "k"); return err }},
		"list that repeats itself": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs></Blobs><NextMarker>again</NextMarker></EnumerationResults>`)
		}, func(st *store) error { _, err := st.list(t.Context(), ""); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.call(s.mustOpen("storageAccountURI", s.behind(c.meddle)))
			if !errors.Is(err, azblob.CodeFalseAnswer) || answer.SaysAbsent(err.Error()) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// A range whose place was lost on the way is not trusted: the whole object is asked
// for.
func TestRangeWithoutItsPlace(t *testing.T) {
	s := newScene(t, overHTTP)
	body := random(3 * blockSize)
	s.write("k", body)
	st := s.mustOpen("storageAccountURI", s.behind(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(withoutHeader{w, "Content-Range"}, r)
	}))
	if got, err := st.get(t.Context(), "k"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// page is what an ingress answers to everything.
func page(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	fmt.Fprint(w, "<html><head><title>Welcome</title></head></html>")
}

func TestLists(t *testing.T) {
	s := newScene(t, overHTTP)
	st, ctx := s.mustOpen(), t.Context()
	s.write("folder/test", []byte("x"))
	for prefix, want := range map[string][]string{"fo": {"folder/test"}, "folder/": {"folder/test"}, "doesntexist": nil} {
		if got, err := st.list(ctx, prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("objects of %q: %q, %v", prefix, got, err)
		}
	}
	for prefix, want := range map[string][]string{"fo": {"folder/"}, "folder/": nil, "doesntexist": nil, "": {"folder/"}} {
		if got, err := st.prefixes(ctx, prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("prefixes of %q: %q, %v", prefix, got, err)
		}
	}
	// A folder of a hierarchical namespace is not an object.
	mark := "true"
	if _, err := s.client.NewBlockBlobClient("folder").Upload(ctx, streaming.NopCloser(strings.NewReader("")),
		&blockblob.UploadOptions{Metadata: map[string]*string{"hdi_isfolder": &mark}}); err != nil {
		t.Fatal(err)
	}
	if got, err := st.list(ctx, "fo"); err != nil || !slices.Equal(got, []string{"folder/test"}) {
		t.Errorf("objects: %q, %v", got, err)
	}
}

// A list has more entries than a page, which is of 10 here: a shared access
// signature does not sign the size of pages, so a proxy can change it.
func TestPages(t *testing.T) {
	s := newScene(t, overHTTP)
	signature, err := s.sas()
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	st := s.mustOpen("storageAccountKeyEnvVar", "", "storageAccountSASTokenEnvVar", "SAS", "credentialsFile", testfile.Write(t, "SAS='"+signature+"'"),
		"storageAccountURI", s.behind(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			requests.Add(1)
			q := r.URL.Query()
			q.Set("maxresults", "10")
			r.URL.RawQuery = q.Encode()
			pass.ServeHTTP(w, r)
		}))
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("many/%02d/k", i))
		s.write(want[i], []byte("x"))
	}
	if got, err := st.list(t.Context(), "many/"); err != nil || !slices.Equal(got, want) || requests.Load() != 3 {
		t.Errorf("%q, %v, %d requests", got, err, requests.Load())
	}
	if got, err := st.prefixes(t.Context(), "many/"); err != nil || len(got) != 25 || got[24] != "many/24/" || requests.Load() != 6 {
		t.Errorf("%q, %v, %d requests", got, err, requests.Load())
	}
}

// Velero deletes its record of a backup when the text of an error says that an
// object is absent. Only the error for an absent object may say so.
func TestWordsForAbsence(t *testing.T) {
	s := newScene(t, overHTTP)
	st, ctx := s.mustOpen(), t.Context()
	_, err := st.get(ctx, "absent")
	says(t, "absent object", err, "BlobNotFound", "absent")
	if !answer.SaysAbsent(err.Error()) {
		t.Errorf("absent object: %v", err)
	}
	lost := &store{st.Store, "lost"}
	_, getErr := lost.get(ctx, "k")
	_, listErr := lost.list(ctx, "")
	_, prefixErr := lost.prefixes(ctx, "")
	for what, err := range map[string]error{
		"get": getErr, "list": listErr, "prefixes": prefixErr, "put": lost.put(ctx, "k", strings.NewReader("x")), "delete": lost.delete(ctx, "k"),
	} {
		if !errors.Is(err, azblob.CodeNoSuchContainer) || answer.SaysAbsent(err.Error()) || !strings.Contains(err.Error(), "ContainerNotFound") {
			t.Errorf("%s in an absent container: %v", what, err)
		}
	}
	for _, st := range []*store{st, lost} {
		if there, err := st.exists(ctx, "absent"); there || err != nil {
			t.Errorf("exists: %v, %v", there, err)
		}
	}
	for range 2 {
		if err := st.delete(ctx, "absent"); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		status int
		code   string
		absent bool
	}{
		"a bare 404":              {404, "", true},
		"the blob":                {404, "BlobNotFound", true},
		"the container":           {404, "ContainerNotFound", false},
		"another resource":        {404, "ResourceNotFound", false},
		"no permission":           {403, "AuthorizationPermissionMismatch", false},
		"no authentication":       {401, "NoAuthenticationInformation", false},
		"archived":                {409, "BlobArchived", false},
		"the account is disabled": {403, "AccountIsDisabled", false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			behind := s.mustOpen("storageAccountURI", s.behind(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				if c.code == "" {
					w.WriteHeader(c.status)
					return
				}
				refuse(w, c.status, c.code)
			}))
			if method == http.MethodHead {
				there, err := behind.exists(ctx, "k")
				if c.status == 404 && (there || err != nil) || c.status != 404 && err == nil {
					t.Errorf("exists with %s: %v, %v", name, there, err)
				}
				continue
			}
			_, err := behind.get(ctx, "k")
			if err == nil || answer.SaysAbsent(err.Error()) != c.absent {
				t.Errorf("get with %s: %v", name, err)
			}
		}
	}
}

// Answers that pass are waited for; those that do not are told at once, with what
// to do.
func TestAnswers(t *testing.T) {
	s := newScene(t, overHTTP)
	s.write("k", []byte("old"))
	for code, c := range map[string]struct {
		status int
		want   fault.Code
		says   string
	}{
		"BlobImmutableDueToPolicy":           {409, azblob.CodeImmutable, "version-level policy"},
		"BlobImmutableDueToLegalHold":        {409, azblob.CodeImmutable, "legal hold"},
		"LeaseIdMissing":                     {412, azblob.CodeLeased, "lease"},
		"SnapshotsPresent":                   {409, azblob.CodeSnapshots, "snapshots"},
		"KeyBasedAuthenticationNotPermitted": {403, azblob.CodeKeysDisabled, "useAAD"},
		"AuthorizationFailure":               {403, azblob.CodeAuthentication, "networking rules"},
		"InvalidBlobOrBlock":                 {400, azblob.CodeLeftovers, "a week"},
	} {
		var requests atomic.Int32
		st := s.mustOpen("storageAccountURI", s.behind(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			requests.Add(1)
			refuse(w, c.status, code)
		}))
		putErr, deleteErr := st.put(t.Context(), "k", strings.NewReader("new")), st.delete(t.Context(), "k")
		for what, err := range map[string]error{"put": putErr, "delete": deleteErr} {
			if !errors.Is(err, c.want) {
				t.Errorf("%s with %s: %v", what, code, err)
			}
			says(t, what+" with "+code, err, "fix: ", c.says, "HTTP "+strconv.Itoa(c.status), code)
			if strings.Contains(err.Error(), "RequestId") || strings.Contains(err.Error(), "---") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := requests.Load(); n != 2 {
			t.Errorf("%s: %d requests for 2 calls", code, n)
		}
		if got := s.read("k"); string(got) != "old" {
			t.Errorf("%s: the object is %q", code, got)
		}
	}
}

// A blob in the archive tier is there and cannot be read.
func TestArchived(t *testing.T) {
	s := newScene(t, overHTTP)
	s.write("k", []byte("x"))
	if _, err := s.client.NewBlobClient("k").SetTier(t.Context(), blob.AccessTierArchive, nil); err != nil {
		t.Fatal(err)
	}
	st := s.mustOpen()
	if there, err := st.exists(t.Context(), "k"); !there || err != nil {
		t.Errorf("exists: %v, %v", there, err)
	}
	_, err := st.get(t.Context(), "k")
	if !errors.Is(err, azblob.CodeArchived) || answer.SaysAbsent(err.Error()) {
		t.Errorf("error: %v", err)
	}
	says(t, "archived", err, "rehydrate", "backups/")
}

// Keys are taken as they are.
func TestKeys(t *testing.T) {
	s := newScene(t, overHTTP)
	st, ctx := s.mustOpen(), t.Context()
	for _, key := range []string{"a b/c+d%20#?x=1", "ünïcödé/日本", "/leading", "a;b,c:d@e!'()*"} {
		if err := st.put(ctx, key, strings.NewReader(key)); err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if got := s.read(key); string(got) != key {
			t.Errorf("%s: %q", key, got)
		}
		if got, err := st.list(ctx, key); err != nil || !slices.Equal(got, []string{key}) {
			t.Errorf("%s: listed %q, %v", key, got, err)
		}
		if got := download(t, s, signed(t, st, key, time.Minute)); got != key {
			t.Errorf("%s by its URL: %q", key, got)
		}
	}
}

func signed(t *testing.T, st *store, key string, ttl time.Duration) string {
	t.Helper()
	out, err := st.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: st.bucket, Key: key, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return out.URL
}

// download gets a URL with a plain client, and returns the content or the status.
func download(t *testing.T, s *scene, address string) string {
	t.Helper()
	client := &http.Client{Transport: s.azurite.Transport()}
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return response.Status + " " + response.Header.Get("x-ms-error-code")
	}
	return string(content)
}

// A signed URL gives the object to whoever has it, and nothing else, over both
// protocols. The account's name is not in the host.
func TestSignedURLWithKey(t *testing.T) {
	for _, secure := range []bool{overHTTP, overTLS} {
		s := newScene(t, secure)
		st := s.mustOpen()
		s.write("k", []byte("content"))
		s.write("other", []byte("content"))
		address := signed(t, st, "k", time.Minute)
		if got := download(t, s, address); got != "content" {
			t.Errorf("tls %v: %s", secure, got)
		}
		if strings.Contains(address, "spr=https") != secure {
			t.Errorf("tls %v: %s", secure, address)
		}
		if got := download(t, s, strings.Replace(address, "/k?", "/other?", 1)); !strings.HasPrefix(got, "403") {
			t.Errorf("the URL opens another object: %s", got)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, address, strings.NewReader("new"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("x-ms-blob-type", "BlockBlob")
		response, err := (&http.Client{Transport: s.azurite.Transport()}).Do(request)
		if err != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("the URL lets write: %v, %v", response, err)
		}
		expired := signed(t, st, "k", time.Nanosecond)
		if got := download(t, s, expired); !strings.HasPrefix(got, "403") {
			t.Errorf("after its end: %s", got)
		}
	}
}

// With a shared access signature there is no other way to a URL than the whole
// signature.
func TestSharedAccessSignature(t *testing.T) {
	s := newScene(t, overHTTP)
	full, err := s.sas()
	if err != nil {
		t.Fatal(err)
	}
	for _, question := range []string{"", "?"} {
		st := s.mustOpen("storageAccountKeyEnvVar", "", "storageAccountSASTokenEnvVar", "SAS", "storageAccountURI", "", "storageAccountBlobEndpoint", s.endpoint,
			"credentialsFile", testfile.Write(t, "SAS='"+question+full+"'\n"))
		body := random(3*blockSize + 1)
		if err := st.put(t.Context(), "k", stream(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := st.get(t.Context(), "k"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if got, err := st.list(t.Context(), ""); err != nil || !slices.Equal(got, []string{"k"}) {
			t.Errorf("listed %q, %v", got, err)
		}
		if got := download(t, s, signed(t, st, "k", time.Minute)); got != string(body) {
			t.Errorf("by its URL: %d bytes", len(got))
		}
	}
	if !strings.Contains(s.log.String(), "signature of the whole container") {
		t.Errorf("no warning in the log: %s", s.log)
	}
	_, signature, _ := strings.Cut(full, "sig=")
	if strings.Contains(s.log.String(), signature) {
		t.Error("the signature is in the log")
	}
	st := s.mustOpen("storageAccountKeyEnvVar", "", "storageAccountSASTokenEnvVar", "SAS", "storageAccountURI", "", "storageAccountBlobEndpoint", s.endpoint,
		"credentialsFile", testfile.Write(t, "SAS='"+strings.Replace(full, "sp=", "sp=x", 1)+"'\n"))
	putErr := st.put(t.Context(), "k", strings.NewReader("x"))
	if !errors.Is(putErr, azblob.CodeAuthentication) || strings.Contains(putErr.Error(), signature) {
		t.Errorf("a wrong signature: %v", putErr)
	}
	says(t, "a wrong signature", putErr, "racwdl")
}

// Init replaces all state at once, and leaves the old state when it fails.
func TestInitAgain(t *testing.T) {
	s := newScene(t, overHTTP)
	st := s.mustOpen()
	s.write("k", []byte("x"))
	bad := map[string]string{"bucket": s.bucket, "storageAccount": "other", "storageAccountKeyEnvVar": "MISSING", "credentialsFile": s.config["credentialsFile"]}
	if _, err := st.Init(t.Context(), sdk.InitInput{Config: bad}); err == nil {
		t.Error("no error")
	}
	if _, err := st.get(t.Context(), "k"); err != nil {
		t.Errorf("after an Init that failed: %v", err)
	}
	other := map[string]string{}
	for key, value := range s.config {
		other[key] = value
	}
	wrong := strings.Repeat("A", 86) + "=="
	other["credentialsFile"] = testfile.Write(t, "AZURE_STORAGE_ACCOUNT_ACCESS_KEY="+wrong)
	if _, err := st.Init(t.Context(), sdk.InitInput{Config: other}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.get(t.Context(), "k"); !errors.Is(err, azblob.CodeAuthentication) || strings.Contains(err.Error(), wrong) {
		t.Errorf("with a wrong key: %v", err)
	}
}

// The end of the context ends an upload, and leaves nothing to be seen.
func TestCancelledUpload(t *testing.T) {
	s := newScene(t, overHTTP)
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(stream(random(3*blockSize)), readerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}))
	if err := s.mustOpen().put(ctx, "k", body); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if there, err := s.mustOpen().exists(t.Context(), "k"); there || err != nil {
		t.Errorf("exists: %v, %v", there, err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
