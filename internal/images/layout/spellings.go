package layout

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/oadp-plugins/oadp-plugins/internal/objectstore"
	"github.com/oadp-plugins/oadp-plugins/internal/sharedwork"
)

// BothSpellings returns a bucket of a provider for which some releases have
// written the keys of images with a slash in front, /docker/registry/v2/... for
// example, and others without. Both are read. New objects get the spelling of the tree that is there, and the slash if there is
// none. Where both are, an object with the spelling of the tree counts. Keys
// outside of the tree and its index, which are Velero's, are left as they are.
func BothSpellings(bucket objectstore.Bucket) objectstore.Bucket {
	return &spellings{Bucket: bucket}
}

type spellings struct {
	objectstore.Bucket
	slash sharedwork.Once[string, bool] // whether new keys get one
}

// spelled returns a key as new objects have it, and the other spelling.
func (s *spellings) spelled(ctx context.Context, key string) (usual, other string, err error) {
	slash, _, err := s.slash.Do(ctx, "", func(ctx context.Context) (bool, error) {
		with, err := s.any(ctx, "/"+blobsRoot)
		if with || err != nil {
			return with, err
		}
		without, err := s.any(ctx, blobsRoot)
		return !without, err
	})
	if slash {
		return "/" + key, key, err
	}
	return key, "/" + key, err
}

// any reports whether there is an object with a prefix.
func (s *spellings) any(ctx context.Context, prefix string) (bool, error) {
	for _, err := range s.Bucket.List(ctx, prefix) {
		return err == nil, err
	}
	return false, nil
}

func ofImages(key string) bool { return strings.HasPrefix(key, "docker/") }

// Stat implements objectstore.Bucket.
func (s *spellings) Stat(ctx context.Context, key string) (objectstore.Object, error) {
	o, err := either(ctx, s, key, s.Bucket.Stat)
	o.Key = key
	return o, err
}

// Get implements objectstore.Bucket.
func (s *spellings) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	return either(ctx, s, key, s.Bucket.Get)
}

// either asks for the usual spelling and, if there is no such object, for the other.
func either[T any](ctx context.Context, s *spellings, key string, ask func(context.Context, string) (T, error)) (T, error) {
	if !ofImages(key) {
		return ask(ctx, key)
	}
	usual, other, err := s.spelled(ctx, key)
	if err != nil {
		var none T
		return none, err
	}
	found, err := ask(ctx, usual)
	if errors.Is(err, fs.ErrNotExist) {
		return ask(ctx, other)
	}
	return found, err
}

// Put implements objectstore.Bucket.
func (s *spellings) Put(ctx context.Context, key string, body io.Reader) error {
	if !ofImages(key) {
		return s.Bucket.Put(ctx, key, body)
	}
	usual, _, err := s.spelled(ctx, key)
	if err != nil {
		return err
	}
	return s.Bucket.Put(ctx, usual, body)
}

// Delete implements objectstore.Bucket.
func (s *spellings) Delete(ctx context.Context, key string) error {
	if !ofImages(key) {
		return s.Bucket.Delete(ctx, key)
	}
	usual, other, err := s.spelled(ctx, key)
	if err != nil {
		return err
	}
	if err := s.Bucket.Delete(ctx, other); err != nil {
		return err
	}
	return s.Bucket.Delete(ctx, usual)
}

// List implements objectstore.Bucket. An object with both spellings is as old as
// the younger one.
func (s *spellings) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	if !ofImages(prefix) {
		return s.Bucket.List(ctx, prefix)
	}
	return func(yield func(objectstore.Object, error) bool) {
		usual, other, err := s.spelled(ctx, prefix)
		if err != nil {
			yield(objectstore.Object{}, err)
			return
		}
		others := map[string]objectstore.Object{} // few, if any: trees have one spelling
		for o, err := range s.Bucket.List(ctx, other) {
			if err != nil {
				yield(objectstore.Object{}, err)
				return
			}
			o.Key = strings.TrimPrefix(o.Key, "/")
			others[o.Key] = o
		}
		for o, err := range s.Bucket.List(ctx, usual) {
			o.Key = strings.TrimPrefix(o.Key, "/")
			o.Modified = later(o.Modified, others[o.Key].Modified)
			delete(others, o.Key)
			if !yield(o, err) || err != nil {
				return
			}
		}
		for _, o := range others {
			if !yield(o, nil) {
				return
			}
		}
	}
}
