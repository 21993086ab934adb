package main

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Image streams with many tags.
const (
	manyBucket  = "many"
	manyStreams = 10
	manyTags    = 1000 // of all of them
)

// resolve returns the number of requests to the API server that a backup of many
// tags takes.
func (s *site) resolve(ctx context.Context) (reading, error) {
	if err := s.cluster.CreateNamespace(ctx, manyBucket); err != nil {
		return reading{}, err
	}
	image, err := random.Image(1<<10, 1)
	if err != nil {
		return reading{}, err
	}
	for i := range manyStreams {
		if err := s.tagOften(ctx, fmt.Sprintf("app-%d", i), image); err != nil {
			return reading{}, err
		}
	}
	w := &workload{}
	if w.items, err = s.streamsIn(ctx, manyBucket); err != nil {
		return reading{}, err
	}
	return s.backup(ctx, w, manyBucket, "first")
}

// tagOften pushes an image to a stream and gives it many more tags.
func (s *site) tagOften(ctx context.Context, stream string, image v1.Image) error {
	const first = "v0"
	if err := s.inside.push(ctx, image, manyBucket, streamed{stream: stream, tag: first}); err != nil {
		return err
	}
	object, err := s.imageStreams(manyBucket).Get(ctx, stream, metav1.GetOptions{})
	if err != nil {
		return err
	}
	tags, _, err := unstructured.NestedSlice(object.Object, "status", "tags")
	if err != nil {
		return err
	}
	for i := 1; i < manyTags/manyStreams; i++ {
		tags = append(tags, map[string]any{"tag": fmt.Sprintf("v%d", i), "items": tags[0].(map[string]any)["items"]})
	}
	if err := unstructured.SetNestedSlice(object.Object, tags, "status", "tags"); err != nil {
		return err
	}
	_, err = s.imageStreams(manyBucket).Update(ctx, object, metav1.UpdateOptions{})
	return err
}
