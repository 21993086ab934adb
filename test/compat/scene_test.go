package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// scene is an empty bucket of a server, for one check.
type scene struct {
	bucket
	ctx      context.Context
	provider provider
	log      io.Writer
}

func newScene(t *testing.T, p provider, at endpoint) *scene {
	t.Helper()
	bucket, err := at.newBucket(t)
	if err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return &scene{bucket: bucket, ctx: t.Context(), provider: p, log: t.Output()}
}

// store returns a store with the scene's configuration and the given changes, each
// a key and its value.
func (s *scene) store(changes ...string) (sdk.ObjectStore, error) {
	config := maps.Clone(s.config)
	for i := 0; i < len(changes); i += 2 {
		config[changes[i]] = changes[i+1]
	}
	store := s.provider.newStore(slog.New(slog.NewTextHandler(s.log, nil)))
	_, err := store.Init(s.ctx, sdk.InitInput{Config: config})
	return store, err
}

func (s *scene) put(store sdk.ObjectStore, key string, body io.Reader) error {
	_, err := store.PutObject(s.ctx, sdk.PutObjectInput{Bucket: s.name, Key: key, Body: body})
	return err
}

func (s *scene) read(store sdk.ObjectStore, key string) ([]byte, error) {
	object, err := store.GetObject(s.ctx, sdk.GetObjectInput{Bucket: s.name, Key: key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}

func (s *scene) exists(store sdk.ObjectStore, key string) (bool, error) {
	found, err := store.ObjectExists(s.ctx, sdk.ObjectExistsInput{Bucket: s.name, Key: key})
	return found.Exists, err
}

// roundTrip puts an object, and reads it with the store and with the client.
func (s *scene) roundTrip(store sdk.ObjectStore, key string, body []byte) error {
	if err := s.put(store, key, bytes.NewReader(body)); err != nil {
		return err
	}
	got, err := s.read(store, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("%s: %d of %d bytes come back, or others", key, len(got), len(body))
	}
	if got, err = s.client.Read(s.ctx, key); err != nil {
		return fmt.Errorf("the client reads %s: %w", key, err)
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("the client reads other bytes of %s", key)
	}
	return nil
}

// awaitPart waits for the first request with a part of an upload.
func (s *scene) awaitPart() error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	return stack.Await(ctx, func() error {
		if s.network.uploadedParts() == 0 {
			return errors.New("no part was sent")
		}
		return nil
	})
}

// random returns n bytes that do not compress, the same for the same n.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = mathrand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}
