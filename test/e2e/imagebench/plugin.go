package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/faults/host"
	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// reading is one value of everything that is measured.
type reading struct {
	took time.Duration

	// The rest is for the plugin only.

	peak                  int64 // resident memory, bytes
	blobBytes             int64 // from or to the registry
	registry, bucket, api int64 // requests
}

// Actions that Velero runs for an image stream, in their order.
var (
	backupActions  = []string{"openshift.io/01-common-backup-plugin", "openshift.io/19-is-backup-plugin"}
	restoreActions = []string{"openshift.io/01-common-restore-plugin", "openshift.io/19-is-restore-plugin"}
)

func (s *site) firstBackup(ctx context.Context, w *workload, round int) (reading, error) {
	r, err := s.backup(ctx, w, w.shape.bucket(round), "first")
	if err == nil && r.blobBytes < uniqueLayers*layerSize {
		err = fmt.Errorf("the first backup read %d bytes of %d", r.blobBytes, uniqueLayers*layerSize)
	}
	return r, err
}

func (s *site) secondBackup(ctx context.Context, w *workload, round int) (reading, error) {
	return s.backup(ctx, w, w.shape.bucket(round), "second")
}

// backup does what Velero does with the image streams of a workload.
func (s *site) backup(ctx context.Context, w *workload, location, uid string) (reading, error) {
	backup, err := json.Marshal(newBackup(location, uid))
	if err != nil {
		return reading{}, err
	}
	backedUp := make([][]byte, len(w.items))
	r, err := s.observe(ctx, s.inside, func(ctx context.Context, p *host.Plugin) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(s.workers)
		for i, item := range w.items {
			group.Go(func() error {
				for _, action := range backupActions {
					request := host.Message{}.Text(1, action).Bytes(2, item).Bytes(3, backup)
					answer, err := p.Call(ctx, "generated.BackupItemAction", "Execute", request)
					if err != nil {
						return err
					}
					item = answer.First(1)
				}
				backedUp[i] = item
				return nil
			})
		}
		return group.Wait()
	})
	w.backedUp = backedUp
	return r, err
}

// restore restores the last backup to another namespace of a cluster with an
// empty registry.
func (s *site) restore(ctx context.Context, w *workload, round int) (r reading, err error) {
	location, namespace := w.shape.bucket(round), w.shape.bucket(round)
	empty, err := s.startInternalRegistry(ctx)
	if err != nil {
		return r, err
	}
	defer empty.close()
	defer func() {
		if err == nil {
			err = s.makeInternal(ctx, s.inside)
		}
	}()
	if err := s.cluster.CreateNamespace(ctx, namespace); err != nil {
		return r, err
	}
	backups := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "velero.io", Version: "v1", Resource: "backups"})
	if _, err := backups.Namespace(stack.VeleroNamespace).Create(ctx, newBackup(location, ""), metav1.CreateOptions{}); err != nil {
		return r, err
	}
	restore, err := json.Marshal(map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Restore",
		"metadata": map[string]any{"name": location, "namespace": stack.VeleroNamespace, "uid": "restore-" + location},
		"spec":     map[string]any{"backupName": location, "namespaceMapping": map[string]any{w.shape.name: namespace}},
	})
	if err != nil {
		return r, err
	}
	r, err = s.observe(ctx, empty, func(ctx context.Context, p *host.Plugin) error {
		for _, original := range w.backedUp {
			item := original
			for _, action := range restoreActions {
				request := host.Message{}.Text(1, action).Bytes(2, item).Bytes(3, restore).Bytes(4, original)
				answer, err := p.Call(ctx, "generated.RestoreItemAction", "Execute", request)
				if err != nil {
					return err
				}
				item = answer.First(1)
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	for _, one := range w.images {
		image := empty.name.Repo(namespace, one.stream).Tag(one.tag)
		if found, err := remote.Head(image, append(empty.access, remote.WithContext(ctx))...); err != nil || found.Digest != one.digest {
			return r, fmt.Errorf("image %s was not restored: %w", image, err)
		}
	}
	return r, nil
}

// newBackup is a Backup to a location of the same name.
func newBackup(location, uid string) *unstructured.Unstructured {
	backup := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Backup",
		"metadata": map[string]any{"name": location, "namespace": stack.VeleroNamespace},
		"spec":     map[string]any{"storageLocation": location},
	}}
	if uid != "" {
		backup.SetUID(types.UID(location + "-" + uid))
	}
	return backup
}

// observe runs work with a plugin process of its own, as Velero starts one for a
// backup or a restore, and measures it.
func (s *site) observe(ctx context.Context, registry *internalRegistry, work func(context.Context, *host.Plugin) error) (reading, error) {
	var r reading
	registry.ResetCounts()
	bucketBefore, err := s.bucketRequests(ctx)
	if err != nil {
		return r, err
	}
	apiBefore := s.api.requests.Load()
	begin := time.Now()
	p, err := host.Start(host.Launch{
		Path: s.plugin,
		Args: []string{"--log-level=info", "--features="},
		Env: []string{
			"HOME=" + s.servers.Dir(), "TMPDIR=" + s.servers.Dir(), "KUBECONFIG=" + s.api.kubeconfig,
			"VELERO_NAMESPACE=" + stack.VeleroNamespace, "OPENSHIFT_IMAGESTREAM_BACKUP=true",
		},
	})
	if err != nil {
		return r, err
	}
	defer p.Stop()
	if err := work(ctx, p); err != nil {
		return r, fmt.Errorf("%w\n%s", err, p.Stderr())
	}
	r.took = time.Since(begin)
	usage, err := p.Usage()
	if err != nil {
		return r, err
	}
	r.peak = usage.Peak
	counts := registry.Counts()
	r.blobBytes = counts.Sent + counts.Received
	for _, n := range counts.Requests {
		r.registry += int64(n)
	}
	r.api = s.api.requests.Load() - apiBefore
	bucketAfter, err := s.bucketRequests(ctx)
	r.bucket = bucketAfter - bucketBefore
	return r, err
}
