package compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing/iotest"

	"github.com/oadp-plugins/oadp-plugins/sdk"
)

// check is a row of the matrix: something that backups need of a server.
type check struct {
	name string
	run  func(*scene) error
}

// commonChecks are the checks that every provider has.
func commonChecks() []check {
	return []check{
		{"objects of one request and of several parts", sizes},
		{"overwrite, existence, deletion", lifecycle},
		{"names with spaces, `+`, `%`, unicode", names},
		{"more than 1,000 keys and prefixes", listing},
		{"download continues after broken connections", resume},
		{"a failed upload leaves nothing", abort},
	}
}

func sizes(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	for _, size := range []int{1, 16 << 10, s.provider.partSize - 1, s.provider.partSize, s.provider.partSize + 1, 4*s.provider.partSize + 1} {
		if err := s.roundTrip(store, fmt.Sprintf("backups/b/%d", size), random(size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

func lifecycle(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	const key = "backups/b/velero-backup.json"
	exists := func(want bool) error {
		if found, err := s.exists(store, key); err != nil || found != want {
			return fmt.Errorf("exists: %v, %v", found, err)
		}
		return nil
	}
	if err := exists(false); err != nil {
		return err
	}
	if _, err := s.read(store, key); !errors.Is(err, s.provider.absent) {
		return fmt.Errorf("reading an absent object: %v", err)
	}
	for _, size := range []int{10, s.provider.partSize + 1, 20} {
		if err := s.roundTrip(store, key, random(size)); err != nil {
			return err
		}
	}
	if err := exists(true); err != nil {
		return err
	}
	for range 2 {
		if _, err := store.DeleteObject(s.ctx, sdk.DeleteObjectInput{Bucket: s.name, Key: key}); err != nil {
			return err
		}
		if err := exists(false); err != nil {
			return err
		}
	}
	return nil
}

func names(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	keys := []string{"n/a b/c+d", "n/p%20q/%", "n/question?x=1&y=2#z", "n/quote'\"()!*", "n/ünïcödé/日本/🚀", "n/~a_b-c.d,e;f:g@h=i$"}
	for _, key := range keys {
		if err := s.roundTrip(store, key, []byte(key)); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if found, err := s.exists(store, key); !found || err != nil {
			return fmt.Errorf("%q exists: %v, %v", key, found, err)
		}
	}
	listed, err := store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.name, Prefix: "n/"})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	if !slices.Equal(listed.Keys, keys) {
		return fmt.Errorf("listed %q, want %q", listed.Keys, keys)
	}
	for _, key := range keys {
		if _, err := store.DeleteObject(s.ctx, sdk.DeleteObjectInput{Bucket: s.name, Key: key}); err != nil {
			return fmt.Errorf("delete %q: %w", key, err)
		}
	}
	if listed, err = store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.name, Prefix: "n/"}); err != nil || len(listed.Keys) > 0 {
		return fmt.Errorf("after the deletion: %q, %v", listed.Keys, err)
	}
	return nil
}

// listed is how many keys and prefixes there are: more than a page holds.
const listed = 1100

func listing(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	var keys, prefixes []string
	for i := range listed {
		prefixes = append(prefixes, fmt.Sprintf("p/backups/b%04d/", i))
		keys = append(keys, prefixes[i]+"velero-backup.json")
	}
	if err := s.fill(append(keys, "p/backups/file", "q/other")); err != nil {
		return err
	}
	keys = append(keys, "p/backups/file")
	slices.Reverse(keys)

	listed, err := store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.name, Prefix: "p/"})
	if err != nil {
		return err
	}
	if !slices.Equal(listed.Keys, keys) {
		return fmt.Errorf("%d keys, want %d in descending order", len(listed.Keys), len(keys))
	}
	for query, want := range map[string][]string{"p/backups/": prefixes, "": {"p/", "q/"}, "absent/": nil, "p/backups/b00": prefixes[:100]} {
		listed, err := store.ListCommonPrefixes(s.ctx, sdk.ListCommonPrefixesInput{Bucket: s.name, Prefix: query, Delimiter: "/"})
		if err != nil {
			return err
		}
		if !slices.Equal(listed.Prefixes, want) {
			return fmt.Errorf("%d prefixes of %q, want %d", len(listed.Prefixes), query, len(want))
		}
	}
	if listed, err = store.ListObjects(s.ctx, sdk.ListObjectsInput{Bucket: s.name, Prefix: "absent/"}); err != nil || len(listed.Keys) > 0 {
		return fmt.Errorf("keys of an absent prefix: %q, %v", listed.Keys, err)
	}
	return nil
}

func resume(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	body := random(8 * s.provider.partSize)
	if err := s.put(store, "large", bytes.NewReader(body)); err != nil {
		return err
	}
	const broken = 5
	s.network.breakDownloads(broken, 300<<10)
	got, err := s.read(store, "large")
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("%d bytes instead of %d, or others", len(got), len(body))
	}
	if n := s.network.downloads(); n <= broken {
		return fmt.Errorf("%d requests", n)
	}
	return nil
}

func abort(s *scene) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	ended := errors.New("the source broke")
	source := io.MultiReader(bytes.NewReader(random(2*s.provider.partSize+1)), &after{s.awaitPart, iotest.ErrReader(ended)})
	if err := s.put(store, "k", source); !errors.Is(err, ended) {
		return fmt.Errorf("an upload from a broken source: %v", err)
	}
	if found, err := s.exists(store, "k"); found || err != nil {
		return fmt.Errorf("the object is visible: %v, %v", found, err)
	}
	left, err := s.client.Leftovers(s.ctx, "k")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("the upload left %q", left)
	}
	return nil
}

// fill adds small objects with the client.
func (s *scene) fill(keys []string) error {
	objects := map[string][]byte{}
	for _, key := range keys {
		objects[key] = []byte("x")
	}
	return s.client.Write(s.ctx, objects)
}

// after is a source that waits once before it is read.
type after struct {
	wait func() error
	io.Reader
}

func (a *after) Read(p []byte) (int, error) {
	if err := a.wait(); err != nil {
		return 0, err
	}
	return a.Reader.Read(p)
}
