package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/minio/minio-go/v7"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/oadp-plugins/oadp-plugins/test/fakes/openshift"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/slowlink"
)

// toRegistry is the link to registries: the one that the benchmark of the object
// store has to its bucket.
var toRegistry = slowlink.Path{RoundTrip: 20 * time.Millisecond, BytesPerSecond: 40 << 20}

// site is a cluster of OpenShift, and the buckets of its backups.
type site struct {
	servers *stack.Stack
	plugin  string // path
	workers int

	store   *stack.MinIO
	buckets *minio.Client
	cluster *stack.ControlPlane
	api     *counter // the plugin's way to the cluster
	inside  *internalRegistry
}

func openSite(ctx context.Context, servers *stack.Stack, plugins string, rounds, workers int) (*site, error) {
	s := &site{servers: servers, plugin: filepath.Join(plugins, "velero-plugins"), workers: workers}
	if _, err := os.Stat(s.plugin); err != nil {
		return nil, fmt.Errorf("%w; build the plugins with make build", err)
	}
	var err error
	if s.store, err = servers.StartMinIO(ctx, stack.MinIOOptions{}); err != nil {
		return nil, err
	}
	if s.buckets, err = s.store.Client(s.store.Endpoint); err != nil {
		return nil, err
	}
	if s.cluster, err = servers.StartControlPlane(ctx); err != nil {
		return nil, err
	}
	if err := openshift.Install(ctx, s.cluster.Dynamic); err != nil {
		return nil, err
	}
	if err := s.createLocations(ctx, plugins, rounds); err != nil {
		return nil, err
	}
	if s.api, err = countRequests(s.cluster, servers.Dir()); err != nil {
		return nil, err
	}
	s.inside, err = s.startInternalRegistry(ctx)
	return s, err
}

func (s *site) close() {
	s.inside.close()
	s.api.close()
}

// createLocations makes a bucket and a backup storage location for each round.
// The Velero server has nothing more to do after that.
func (s *site) createLocations(ctx context.Context, plugins string, rounds int) error {
	var locations []stack.Location
	for _, shape := range []shape{streams, tags} {
		for round := range rounds {
			locations = append(locations, s.location(shape.bucket(round)))
		}
	}
	locations = append(locations, s.location(manyBucket), s.location(largeBucket))
	for _, l := range locations {
		if err := s.buckets.MakeBucket(ctx, l.Bucket, minio.MakeBucketOptions{}); err != nil {
			return err
		}
	}
	velero, err := s.servers.StartVelero(ctx, s.cluster, stack.VeleroOptions{
		Plugins:   []string{filepath.Join(plugins, "velero-plugin-for-aws")},
		Locations: locations,
	})
	if err != nil {
		return err
	}
	velero.Stop()
	return nil
}

// location is at MinIO's plain endpoint, so that ciphers do not hide the rest.
func (s *site) location(bucket string) stack.Location {
	l := s.store.S3Location(bucket, bucket)
	l.Prefix = "velero"
	l.Config["s3Url"], l.CAPEM = s.store.Endpoint, nil
	return l
}

// internalRegistry is a cluster's own registry, at the end of the slow link.
type internalRegistry struct {
	*openshift.Registry
	stock *stack.Registry
	link  *slowlink.Proxy

	name   name.Registry
	access []remote.Option // of the cluster's administrator
}

// startInternalRegistry starts a registry and makes it the cluster's own.
func (s *site) startInternalRegistry(ctx context.Context) (*internalRegistry, error) {
	stock, err := s.servers.StartRegistry(ctx, stack.RegistryOptions{})
	if err != nil {
		return nil, err
	}
	r := &internalRegistry{stock: stock}
	if r.Registry, err = openshift.StartRegistry(s.cluster, stock); err != nil {
		return nil, err
	}
	if r.link, err = slowlink.Listen(r.Host, toRegistry); err != nil {
		return nil, err
	}
	r.Host = r.link.Addr() // what the names of images begin with
	if r.name, err = name.NewRegistry(r.Host); err != nil {
		return nil, err
	}
	transport := r.Transport()
	transport.MaxIdleConnsPerHost = 16
	r.access = append(r.Remote(s.cluster.Config.BearerToken), remote.WithTransport(transport))
	return r, s.makeInternal(ctx, r)
}

func (r *internalRegistry) close() {
	_ = r.link.Close()
	r.Registry.Close()
	r.stock.Stop()
	_ = os.RemoveAll(r.stock.Folder)
}

// makeInternal tells the cluster that a registry is its own.
func (s *site) makeInternal(ctx context.Context, r *internalRegistry) error {
	image := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": map[string]any{"name": "cluster"},
		"status": map[string]any{"internalRegistryHostname": r.Host},
	}}
	configs := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "images"})
	options := metav1.ApplyOptions{FieldManager: "imagebench", Force: true}
	if _, err := configs.Apply(ctx, "cluster", image, options); err != nil {
		return err
	}
	maps := s.cluster.Kubernetes.CoreV1().ConfigMaps(stack.VeleroNamespace)
	if err := maps.Delete(ctx, "openshift-service-ca.crt", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return r.PublishCA(ctx, stack.VeleroNamespace)
}
