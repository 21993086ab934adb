package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/host"
)

// Actions that Velero runs for an image stream, in their order.
var (
	backupActions  = []string{"openshift.io/01-common-backup-plugin", "openshift.io/19-is-backup-plugin"}
	tagActions     = []string{"openshift.io/01-common-backup-plugin", "openshift.io/04-imagestreamtag-backup-plugin"}
	restoreActions = []string{"openshift.io/01-common-restore-plugin", "openshift.io/19-is-restore-plugin"}
)

func (s *site) firstBackup(ctx context.Context, w *workload, round int) (reading, error) {
	r, err := s.backup(ctx, w, w.shape.bucket(round), "first")
	if err == nil && r.blobBytes < uniqueLayers*layerSize {
		err = fmt.Errorf("only %d bytes of blobs were read", r.blobBytes)
	}
	return r, err
}

func (s *site) secondBackup(ctx context.Context, w *workload, round int) (reading, error) {
	return s.backup(ctx, w, w.shape.bucket(round), "second")
}

// backup does what Velero does with the image streams of a workload.
func (s *site) backup(ctx context.Context, w *workload, location, uid string) (reading, error) {
	object := newBackup(location)
	object.SetUID(types.UID(location + "-" + uid))
	backup, err := object.MarshalJSON()
	if err != nil {
		return reading{}, err
	}
	w.backedUp = make([][]byte, len(w.items))
	return s.observe(ctx, s.inside, func(ctx context.Context, p *host.Plugin) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(s.workers)
		for i, item := range w.items {
			group.Go(func() (err error) {
				w.backedUp[i], err = executeAll(ctx, p, "generated.BackupItemAction", actionsFor(item), item, func(request host.Message) host.Message {
					return request.Bytes(3, backup)
				})
				return err
			})
		}
		return group.Wait()
	})
}

// actionsFor returns the actions for the backup of an item.
func actionsFor(item []byte) []string {
	if bytes.Contains(item, []byte(`"kind":"ImageStreamTag"`)) {
		return tagActions
	}
	return backupActions
}

// executeAll hands an item from one action to the next.
func executeAll(ctx context.Context, p *host.Plugin, service string, actions []string, item []byte, with func(host.Message) host.Message) ([]byte, error) {
	for _, action := range actions {
		answer, err := p.Call(ctx, service, "Execute", with(host.Message{}.Text(1, action).Bytes(2, item)))
		if err != nil {
			return nil, err
		}
		item = answer.First(1)
	}
	return item, nil
}

// restore restores the last backup to another namespace, and makes an empty
// registry the cluster's own for that time.
func (s *site) restore(ctx context.Context, w *workload, round int) (reading, error) {
	name := w.shape.bucket(round)
	empty, err := s.startInternalRegistry(ctx)
	if err != nil {
		return reading{}, err
	}
	defer empty.close()
	restore, err := s.prepareRestore(ctx, name, w.shape.name)
	if err != nil {
		return reading{}, err
	}
	r, err := s.observe(ctx, empty, func(ctx context.Context, p *host.Plugin) error {
		for _, item := range w.backedUp {
			_, err := executeAll(ctx, p, "generated.RestoreItemAction", restoreActions, item, func(request host.Message) host.Message {
				return request.Bytes(3, restore).Bytes(4, item)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if err := empty.complete(ctx, name, w.images); err != nil {
		return r, err
	}
	return r, s.makeInternal(ctx, s.inside)
}

// prepareRestore makes the objects that the restore of a namespace to another one
// needs, which has the name of the restore and of the backup.
func (s *site) prepareRestore(ctx context.Context, name, namespace string) ([]byte, error) {
	if err := s.cluster.CreateNamespace(ctx, name); err != nil {
		return nil, err
	}
	backups := s.cluster.Dynamic.Resource(schema.GroupVersionResource{Group: "velero.io", Version: "v1", Resource: "backups"})
	if _, err := backups.Namespace(stack.VeleroNamespace).Create(ctx, newBackup(name), metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Restore",
		"metadata": map[string]any{"name": name, "namespace": stack.VeleroNamespace, "uid": "restore-" + name},
		"spec":     map[string]any{"backupName": name, "namespaceMapping": map[string]any{namespace: name}},
	})
}

// newBackup is a Backup to a location of the same name.
func newBackup(location string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "velero.io/v1", "kind": "Backup",
		"metadata": map[string]any{"name": location, "namespace": stack.VeleroNamespace},
		"spec":     map[string]any{"storageLocation": location},
	}}
}

// complete checks that the tags of a namespace stand for these images.
func (r *internalRegistry) complete(ctx context.Context, namespace string, images []streamed) error {
	for _, one := range images {
		image := r.name.Repo(namespace, one.stream).Tag(one.tag)
		found, err := remote.Head(image, append(r.access, remote.WithContext(ctx))...)
		if err != nil {
			return err
		}
		if found.Digest != one.digest {
			return fmt.Errorf("%s is %s, not %s", image, found.Digest, one.digest)
		}
	}
	return nil
}
