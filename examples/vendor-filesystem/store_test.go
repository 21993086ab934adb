package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

func newStoreIn(t *testing.T, root string) *store {
	t.Helper()
	s := &store{}
	if _, err := s.Init(t.Context(), sdk.InitInput{Config: map[string]string{"root": root, "bucket": "backups"}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *store, key, body string) {
	t.Helper()
	if _, err := s.PutObject(t.Context(), sdk.PutObjectInput{Bucket: "backups", Key: key, Body: strings.NewReader(body)}); err != nil {
		t.Fatalf("putting %.100q: %v", key, err)
	}
}

func get(t *testing.T, s *store, key string) string {
	t.Helper()
	object, err := s.GetObject(t.Context(), sdk.GetObjectInput{Bucket: "backups", Key: key})
	if err != nil {
		t.Fatalf("getting %.100q: %v", key, err)
	}
	defer object.Body.Close()
	body, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func list(t *testing.T, s *store, prefix string) []string {
	t.Helper()
	listed, err := s.ListObjects(t.Context(), sdk.ListObjectsInput{Bucket: "backups", Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	return listed.Keys
}

// TestKeys has keys that are hard on a file system. None may touch another one
// or anything outside of the bucket.
func TestKeys(t *testing.T) {
	root := newDirectories(t).root
	s := newStoreIn(t, root)
	long := strings.Repeat("x", longest)
	keys := []string{
		"", "/", "a", "a/", "a//", "a/b", "a/b/c", ".", "..", "../backups", "../../etc/passwd", "/etc/passwd", "./a", "a/../a",
		"a:b", "a=", "a=/", "a=/b", "a@", "a@/b", "%", "%2F", "a%2Fb", "a+b", "a b", "A", "\x00", "\n", "\xff\xfe", "日本語/ファイル",
		partial, partial + "1", "." + partial, long, long + "=", long + "/x", long + "..", long + "/..", long + long + "é",
		strings.Repeat("long/", 200) + "..", strings.Repeat("/", 3000), strings.Repeat("é", 512),
	}
	for _, key := range keys {
		put(t, s, key, "body of "+key)
	}
	slices.Sort(keys)
	if got := list(t, s, ""); !slices.Equal(got, keys) {
		t.Errorf("listed %.1000q, want %.1000q", got, keys)
	}
	for _, key := range keys {
		if body := get(t, s, key); body != "body of "+key {
			t.Errorf("%.100q has the %.100q", key, body)
		}
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("beside the bucket there is %v, %v", entries, err)
	}
	for _, key := range keys {
		if _, err := s.DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: "backups", Key: key}); err != nil {
			t.Errorf("deleting %.100q: %v", key, err)
		}
	}
	if got := list(t, s, ""); got != nil {
		t.Errorf("left %.1000q", got)
	}
}

func TestBucketsAreSubdirectories(t *testing.T) {
	root := newDirectories(t).root
	s := newStoreIn(t, root)
	if err := os.MkdirAll(filepath.Join(root, "backups", "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"", ".", "..", "/", "backups/inside", "../" + filepath.Base(root) + "/backups", "absent"} {
		if _, err := s.PutObject(t.Context(), sdk.PutObjectInput{Bucket: bucket, Key: "key", Body: strings.NewReader("x")}); err == nil {
			t.Errorf("PutObject in bucket %q succeeds", bucket)
		}
		if found, err := s.ObjectExists(t.Context(), sdk.ObjectExistsInput{Bucket: bucket, Key: "key"}); err == nil {
			t.Errorf("ObjectExists in bucket %q: %t", bucket, found.Exists)
		}
		if _, err := s.DeleteObject(t.Context(), sdk.DeleteObjectInput{Bucket: bucket, Key: "key"}); err == nil {
			t.Errorf("DeleteObject in bucket %q succeeds", bucket)
		}
		if _, err := s.CreateSignedURL(t.Context(), sdk.CreateSignedURLInput{Bucket: bucket, Key: "key", TTL: time.Minute}); err == nil {
			t.Errorf("CreateSignedURL in bucket %q succeeds", bucket)
		}
	}
}

func TestBrokenUploadLeavesNothing(t *testing.T) {
	root := newDirectories(t).root
	s := newStoreIn(t, root)
	put(t, s, "replaced", "old")
	boom := errors.New("boom")
	for _, key := range []string{"fresh", "replaced", strings.Repeat("long", longest)} {
		body := io.MultiReader(strings.NewReader("new"), iotest.ErrReader(boom))
		if _, err := s.PutObject(t.Context(), sdk.PutObjectInput{Bucket: "backups", Key: key, Body: body}); !errors.Is(err, boom) {
			t.Errorf("%.20s: %v", key, err)
		}
	}
	onlyOld(t, s, root)
}

// onlyOld returns an error unless the bucket has one object and no other file.
func onlyOld(t *testing.T, s *store, root string) {
	t.Helper()
	if keys := list(t, s, ""); !slices.Equal(keys, []string{"replaced"}) || get(t, s, "replaced") != "old" {
		t.Errorf("keys %.100q", keys)
	}
	if files, _ := filepath.Glob(filepath.Join(root, "backups", partial+"*")); files != nil {
		t.Errorf("left %q", files)
	}
}

// TestFullDisk stores more than a file system has room for.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("not tested, since a small file system cannot be mounted here (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(filepath.Join(root, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newStoreIn(t, root)
	put(t, s, "replaced", "old")
	for _, key := range []string{"fresh", "replaced"} {
		_, err := s.PutObject(t.Context(), sdk.PutObjectInput{Bucket: "backups", Key: key, Body: bytes.NewReader(make([]byte, 2<<20))})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "putting "+key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	onlyOld(t, s, root)
}

// asUploader makes the test binary a plugin in the middle of two uploads, in
// the root that it names.
const asUploader = "TEST_AS_UPLOADER"

func uploadForEver(root string) {
	for _, key := range []string{"fresh", "replaced"} {
		go func() {
			s := &store{}
			_, err := s.Init(context.Background(), sdk.InitInput{Config: map[string]string{"root": root}})
			if err == nil {
				_, err = s.PutObject(context.Background(), sdk.PutObjectInput{Bucket: "backups", Key: key, Body: endless{}})
			}
			panic(err)
		}()
	}
	select {}
}

// endless is an object that slowly does not come to its end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(p), nil
}

func TestCrashDuringUpload(t *testing.T) {
	root := newDirectories(t).root
	s := newStoreIn(t, root)
	put(t, s, "replaced", "old")
	uploader := exec.CommandContext(t.Context(), os.Args[0])
	uploader.Env = append(os.Environ(), asUploader+"="+root)
	if err := uploader.Start(); err != nil {
		t.Fatal(err)
	}
	var files []string
	for deadline := time.Now().Add(20 * time.Second); len(files) < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the uploads have not begun: %q", files)
		}
		files = files[:0]
		all, _ := filepath.Glob(filepath.Join(root, "backups", partial+"*"))
		for _, file := range all {
			if info, err := os.Stat(file); err == nil && info.Size() > 100<<10 {
				files = append(files, file)
			}
		}
	}
	if err := uploader.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = uploader.Wait() // it was killed
	if keys := list(t, s, ""); !slices.Equal(keys, []string{"replaced"}) || get(t, s, "replaced") != "old" {
		t.Errorf("after the crash: %q", keys)
	}
	newStoreIn(t, root)
	if left, _ := filepath.Glob(filepath.Join(root, "backups", partial+"*")); len(left) != 2 {
		t.Errorf("uploads of a moment ago, which may go on, are %q", left)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	for _, file := range files {
		if err := os.Chtimes(file, yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
	}
	onlyOld(t, newStoreIn(t, root), root)
}

// TestNamesAreReversible tries keys at random.
func TestNamesAreReversible(t *testing.T) {
	alphabet := []string{"a", "/", ".", "..", "=", "@", ":", "%", "+", " ", "é", "\x00", strings.Repeat("x", longest-1)}
	files := map[string]string{}
	for range 20_000 {
		var key string
		for range rand.IntN(6) {
			key += alphabet[rand.IntN(len(alphabet))]
		}
		file := fileName(key)
		if back, err := keyOf(file); back != key || err != nil {
			t.Fatalf("%q is the file %q, which is %q, %v", key, file, back, err)
		}
		if other, taken := files[file]; taken && other != key {
			t.Fatalf("%q and %q are the same file", key, other)
		}
		files[file] = key
		if !filepath.IsLocal(file) || filepath.Clean(file) != file {
			t.Fatalf("%q is the file %q", key, file)
		}
	}
}
