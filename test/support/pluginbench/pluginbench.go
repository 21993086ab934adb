// Package pluginbench gives a measurement a real Velero server, which runs with the
// measured plugin and without it in turn.
package pluginbench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// Location is the backup storage location.
const Location = "default"

const bucket = "backups"

// Site is a cluster with Velero.
type Site struct {
	Cluster *stack.ControlPlane
	Velero  *stack.Velero

	plugin string // the measured one, as built
}

// Start starts a cluster, lets fill make objects in it, and starts Velero without the
// measured plugin. plugins is the folder with the built plugins, measured the name of
// one of them.
func Start(ctx context.Context, servers *stack.Stack, plugins, measured string, fill func(*stack.ControlPlane) error) (*Site, error) {
	store, err := servers.StartMinIO(ctx, stack.MinIOOptions{})
	if err != nil {
		return nil, err
	}
	client, err := store.Client(store.TLSEndpoint)
	if err != nil {
		return nil, err
	}
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return nil, err
	}
	s := &Site{plugin: filepath.Join(plugins, measured)}
	if s.Cluster, err = servers.StartControlPlane(ctx); err != nil {
		return nil, err
	}
	if err := fill(s.Cluster); err != nil {
		return nil, err
	}
	s.Velero, err = servers.StartVelero(ctx, s.Cluster, stack.VeleroOptions{
		Plugins:   []string{filepath.Join(plugins, "velero-plugin-for-aws")},
		Flags:     []string{"--client-qps=500", "--client-burst=500", "--log-level=info"},
		Locations: []stack.Location{store.S3Location(Location, bucket)},
	})
	return s, err
}

// Restart restarts Velero with or without the measured plugin.
func (s *Site) Restart(ctx context.Context, withPlugin bool) error {
	path := filepath.Join(s.Velero.PluginDir, filepath.Base(s.plugin))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if withPlugin {
		program, err := os.ReadFile(s.plugin)
		if err != nil {
			return fmt.Errorf("%w; build the plugins with make build", err)
		}
		if err := os.WriteFile(path, program, 0o755); err != nil {
			return err
		}
	}
	return s.Velero.Restart(ctx)
}

// Make calls do for each number below n, twenty at a time, until one fails.
func Make(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(20)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

// Completed returns an error for a backup or restore that is not Completed.
func Completed(object *unstructured.Unstructured, err error) error {
	if err == nil && stack.Phase(object) != "Completed" {
		err = fmt.Errorf("%s %s is %s: %v", object.GetKind(), object.GetName(), stack.Phase(object), object.Object["status"])
	}
	return err
}
