package s3

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/fakes/liar"
)

// FuzzLyingServer uses a store behind a proxy that lies: what succeeds is true.
func FuzzLyingServer(f *testing.F) {
	for choice := range liar.Lies() {
		f.Add([]byte{byte(choice)}, uint16(5*memoryPart+7))
		f.Add([]byte{byte(choice) | liar.Instead}, uint16(14))
		f.Add([]byte{0, byte(choice), 0, 0}, uint16(memoryPart))
	}
	f.Fuzz(func(t *testing.T, script []byte, size uint16) {
		if len(script) > 64 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			lies(t, script, pattern(int(size)%(8*memoryPart)))
		})
	})
}

func lies(t *testing.T, script []byte, content []byte) {
	m, l := newMemory(), &liar.Liar{}
	var change func(*http.Request, *http.Response) error
	var failure error
	m.before = func(r *http.Request) *http.Response {
		var instead bool
		if change, instead = l.Next(); !instead {
			return nil
		}
		resp := respond(r, http.StatusOK, "")
		failure = change(r, resp)
		change = nil
		return resp
	}
	m.after = func(r *http.Request, resp *http.Response) (*http.Response, error) {
		if change == nil {
			return resp, nil
		}
		if err := change(r, resp); err != nil {
			return nil, err
		}
		return resp, nil
	}
	m.failure = func() error { err := failure; failure = nil; return err }
	store, ctx := m.store(3), t.Context()
	defer func() {
		if t.Failed() {
			t.Logf("%d bytes, lies: %q", len(content), l.Told())
		}
	}()

	l.Script = script
	if _, err := store.PutObject(ctx, sdk.PutObjectInput{Bucket: memoryBucket, Key: "folder/k", Body: bytes.NewReader(content)}); err == nil && !bytes.Equal(m.objects["folder/k"], content) {
		t.Errorf("put: %d bytes are stored", len(m.objects["folder/k"]))
	}
	m.objects = map[string][]byte{"folder/k": content, "other": nil}

	r, err := store.GetObject(ctx, sdk.GetObjectInput{Bucket: memoryBucket, Key: "folder/k"})
	if errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get: %v", err)
	}
	if err == nil {
		got, err := io.ReadAll(r.Body)
		if !bytes.HasPrefix(content, got) || err == nil && len(got) != len(content) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get: %d bytes, %v", len(got), err)
		}
		r.Body.Close()
	}
	if ok, err := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: memoryBucket, Key: "folder/k"}); err == nil && !ok.Exists {
		t.Error("an object that is there does not exist")
	}
	if ok, err := store.ObjectExists(ctx, sdk.ObjectExistsInput{Bucket: memoryBucket, Key: "absent"}); err == nil && ok.Exists {
		t.Error("an object that is absent exists")
	}
	if r, err := store.GetObject(ctx, sdk.GetObjectInput{Bucket: memoryBucket, Key: "absent"}); err == nil {
		got, err := io.ReadAll(r.Body)
		if err == nil {
			t.Errorf("an absent object is %q", got)
		}
		r.Body.Close()
	}
	if o, err := store.Stat(ctx, memoryBucket, "folder/k"); err == nil && o.Size != int64(len(content)) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %+v, %v", o, err)
	}
	if keys, err := store.ListObjects(ctx, sdk.ListObjectsInput{Bucket: memoryBucket}); err == nil && !slices.Equal(keys.Keys, []string{"other", "folder/k"}) {
		t.Errorf("listed %q", keys.Keys)
	}
	if prefixes, err := store.ListCommonPrefixes(ctx, sdk.ListCommonPrefixesInput{Bucket: memoryBucket, Delimiter: "/"}); err == nil && !slices.Equal(prefixes.Prefixes, []string{"folder/"}) {
		t.Errorf("prefixes %q", prefixes.Prefixes)
	}
	if _, err := store.DeleteObject(ctx, sdk.DeleteObjectInput{Bucket: memoryBucket, Key: "folder/k"}); err == nil && m.objects["folder/k"] != nil {
		t.Error("a deleted object is there")
	}
}
