package main

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Large image streams: their histories name images that are elsewhere.
const (
	largeBucket  = "large"
	largeStreams = 1000
	largeSize    = 700 << 10 // of the JSON of each
)

// large backs up a stream and a tag of a namespace whose other streams are large: both
// read what else the namespace has.
func (s *site) large(ctx context.Context) (reading, error) {
	if err := s.cluster.CreateNamespace(ctx, largeBucket); err != nil {
		return reading{}, err
	}
	image, err := random.Image(1<<10, 1)
	if err != nil {
		return reading{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return reading{}, err
	}
	if err := s.inside.push(ctx, image, largeBucket, streamed{stream: "app", tag: "v1"}); err != nil {
		return reading{}, err
	}
	w := &workload{}
	if w.items, err = s.streamsIn(ctx, largeBucket); err != nil {
		return reading{}, err
	}
	tag := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag",
		"metadata": map[string]any{"name": "app:v1", "namespace": largeBucket},
		"image":    map[string]any{"metadata": map[string]any{"name": digest.String()}},
	}}
	item, err := tag.MarshalJSON()
	if err != nil {
		return reading{}, err
	}
	w.items = append(w.items, item)
	var group errgroup.Group
	group.SetLimit(8)
	for i := range largeStreams {
		group.Go(func() error { return s.createLarge(ctx, fmt.Sprintf("large-%04d", i), digest) })
	}
	if err := group.Wait(); err != nil {
		return reading{}, err
	}
	return s.backup(ctx, w, largeBucket, "first")
}

func (s *site) createLarge(ctx context.Context, name string, image v1.Hash) error {
	item := map[string]any{
		"created": "2026-01-02T03:04:05Z", "generation": int64(1), "image": image.String(),
		"dockerImageReference": "quay.io/example/" + strings.Repeat("x", 100) + "@" + image.String(),
	}
	const size = 320 // of an item, about
	items := make([]any, largeSize/size)
	for i := range items {
		items[i] = item
	}
	stream := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": map[string]any{"name": name},
		"status": map[string]any{"tags": []any{map[string]any{"tag": "latest", "items": items}}},
	}}
	_, err := s.imageStreams(largeBucket).Create(ctx, stream, metav1.CreateOptions{})
	return err
}
