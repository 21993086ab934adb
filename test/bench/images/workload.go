package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// streamed is an image of an image stream.
type streamed struct {
	stream, tag string
	digest      v1.Hash
}

// shape says how the images are spread over image streams.
type shape struct {
	title string
	name  string // of its namespace
	place func(image int) (stream, tag string)
}

// bucket is the name of a round's bucket, backup storage location and backup.
func (s shape) bucket(round int) string { return fmt.Sprintf("%s-%d", s.name, round+1) }

var (
	streams = shape{
		title: fmt.Sprintf("%d image streams with an image each", images),
		name:  "streams",
		place: func(image int) (string, string) { return fmt.Sprintf("app-%02d", image), "latest" },
	}
	tags = shape{
		title: fmt.Sprintf("an image stream with %d tags", images),
		name:  "tags",
		place: func(image int) (string, string) { return "app", fmt.Sprintf("v%02d", image) },
	}
)

// workload is what is copied: images that were pushed to a namespace of the same
// name as their shape.
type workload struct {
	shape  shape
	images []streamed
	// items are the image streams, as Velero sends them to plugins, and as they
	// came back from the last backup.
	items, backedUp [][]byte
}

// workload pushes the images of a shape to the registry of the cluster, which
// makes the image streams.
func (s *site) workload(ctx context.Context, shape shape) (*workload, error) {
	if err := s.cluster.CreateNamespace(ctx, shape.name); err != nil {
		return nil, err
	}
	w := &workload{shape: shape}
	for i := range images {
		image, err := newImage(i)
		if err != nil {
			return nil, err
		}
		one := streamed{}
		one.stream, one.tag = shape.place(i)
		if one.digest, err = image.Digest(); err != nil {
			return nil, err
		}
		if err := s.inside.push(ctx, image, shape.name, one); err != nil {
			return nil, err
		}
		w.images = append(w.images, one)
	}
	var err error
	w.items, err = s.streamsIn(ctx, shape.name)
	return w, err
}

// push sends blobs past the link, and only the manifest through it.
func (r *internalRegistry) push(ctx context.Context, image v1.Image, namespace string, to streamed) error {
	stock, err := name.NewRegistry(r.stock.Host)
	if err != nil {
		return err
	}
	if err := remote.Write(stock.Repo(namespace, to.stream).Tag(to.tag), image, remote.WithContext(ctx)); err != nil {
		return err
	}
	return remote.Write(r.name.Repo(namespace, to.stream).Tag(to.tag), image, append(r.access, remote.WithContext(ctx))...)
}

func (s *site) streamsIn(ctx context.Context, namespace string) ([][]byte, error) {
	list, err := s.imageStreams(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var items [][]byte
	for _, stream := range list.Items {
		item, err := stream.MarshalJSON()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (s *site) imageStreams(namespace string) dynamic.ResourceInterface {
	resource := schema.GroupVersionResource{Group: "image.openshift.io", Version: "v1", Resource: "imagestreams"}
	return s.cluster.Dynamic.Resource(resource).Namespace(namespace)
}
