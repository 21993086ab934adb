package images

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// imagesEnv switches the copy of images on.
const imagesEnv = "OPENSHIFT_IMAGESTREAM_BACKUP=true"

// TestImagesAreOff backs up and restores an image stream while the DPA has
// switched images off. Then that very backup is restored with images that a
// registry has stored in its place, as the plugin did that ours replaces.
func TestImagesAreOff(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	bucket := w.store.NewBucket(t)
	w.newLocation(ctx, t, w.location("off", bucket))
	a := newApp(ctx, t, w.one, "off", 8000, 3, smallLayer)
	// With this the plugin that ours replaces marks what it has copied.
	w.annotateStream(ctx, t, a, "openshift.io/migration-registry", "bsl://")
	on := w.velero.Env
	w.velero.Env = slices.DeleteFunc(slices.Clone(on), func(entry string) bool { return entry == imagesEnv })
	must(t, w.velero.Restart(ctx))
	w.one.registry.ResetCounts()
	backup(ctx, t, w.velero, "off", "off", a.namespace)
	restore(ctx, t, w.velero, "off", "off", map[string]any{"off": "off-restored"})
	was, kept := w.one.stream(ctx, t, "off", "app"), w.backedUp(ctx, t, bucket, "off", "off", "app")
	mustBeEqual(t, "status in the backup", was.Object["status"], kept.Object["status"])
	restored := w.one.stream(ctx, t, "off-restored", "app")
	mustBeEqual(t, "restored spec", was.Object["spec"], restored.Object["spec"])
	w.mustNotHaveCopied(ctx, t, bucket)
	w.velero.Env = on
	must(t, w.velero.Restart(ctx))

	registry := w.newStranger(ctx, t, bucket)
	for _, image := range a.images {
		registry.push(ctx, t, "off/app", "v1", image)
	}
	must(t, w.one.loseImages(ctx))
	restore(ctx, t, w.velero, "on", "off", map[string]any{"off": "on-restored"})
	a.mustBeBack(ctx, t, w.one, "on-restored")
}

// TestImagesAreLeftOut backs up a stream that says that its images are not to be
// copied, and all streams with a backup that says so.
func TestImagesAreLeftOut(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	bucket := w.store.NewBucket(t)
	w.newLocation(ctx, t, w.location("left-out", bucket))
	a := newApp(ctx, t, w.one, "left-out", 9000, 1, smallLayer)
	w.one.registry.ResetCounts()
	was := w.one.stream(ctx, t, "left-out", "app")

	all := veleroBackup("disabled", imageStreams("left-out", "left-out"))
	all.SetAnnotations(map[string]string{"migration.openshift.io/disable-image-copy": "true"})
	w.run(ctx, t, all)
	disabled := w.backedUp(ctx, t, bucket, "left-out", "disabled", "app")
	if disabled.GetAnnotations()["migration.openshift.io/disable-image-copy"] != "true" {
		t.Errorf("annotations %v", disabled.GetAnnotations())
	}
	if tags := history(disabled); len(tags) != 0 {
		t.Errorf("the stream in the backup has the tags %v", tags)
	}
	restore(ctx, t, w.velero, "disabled", "disabled", map[string]any{"left-out": "disabled-restored"})
	w.one.stream(ctx, t, "disabled-restored", "app")

	w.annotateStream(ctx, t, a, "openshift.io/skip-image-copy", "true")
	backup(ctx, t, w.velero, "skipped", "left-out", "left-out")
	skipped := w.backedUp(ctx, t, bucket, "left-out", "skipped", "app")
	mustBeEqual(t, "status in the backup", was.Object["status"], skipped.Object["status"])
	restore(ctx, t, w.velero, "skipped", "skipped", map[string]any{"left-out": "skipped-restored"})
	w.one.stream(ctx, t, "skipped-restored", "app")
	w.mustNotHaveCopied(ctx, t, bucket)
}

// mustNotHaveCopied expects that neither the registry nor the bucket was asked
// for images.
func (w *world) mustNotHaveCopied(ctx context.Context, t *testing.T, bucket string) {
	t.Helper()
	if requests := w.one.registry.Counts().Requests; len(requests) != 0 {
		t.Errorf("the registry was asked: %v", requests)
	}
	if tree := w.tree(ctx, t, bucket); len(tree.Blobs)+len(tree.Repositories)+len(tree.Own) != 0 {
		t.Errorf("the bucket has images: %v", tree)
	}
}

func mustBeEqual(t *testing.T, what string, before, after any) {
	t.Helper()
	if before, after := text(t, before), text(t, after); before != after {
		t.Errorf("%s: %s, which was %s", what, after, before)
	}
}

func (w *world) annotateStream(ctx context.Context, t *testing.T, a app, key, value string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)
	_, err := w.one.resource(imageStream, a.namespace).Patch(ctx, "app", types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
}

func veleroBackup(name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "velero.io/v1", "kind": "Backup", "spec": spec}}
	object.SetName(name)
	object.SetNamespace(stack.VeleroNamespace)
	return object
}

// run creates a backup and waits until it is complete.
func (w *world) run(ctx context.Context, t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	backups := w.velero.Resource("backups")
	_, err := backups.Create(ctx, object, metav1.CreateOptions{})
	must(t, err)
	must(t, stack.Await(ctx, func() error {
		found, err := backups.Get(ctx, object.GetName(), metav1.GetOptions{})
		if err == nil && stack.Phase(found) != "Completed" {
			err = fmt.Errorf("backup %s is %s", object.GetName(), stack.Phase(found))
		}
		return err
	}))
}

// backedUp reads an image stream out of a backup.
func (w *world) backedUp(ctx context.Context, t *testing.T, bucket, location, backup, stream string) *unstructured.Unstructured {
	t.Helper()
	client, err := w.store.Client(w.store.TLSEndpoint)
	must(t, err)
	key := path.Join(w.location(location, bucket).Prefix, "backups", backup, backup+".tar.gz")
	packed, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	must(t, err)
	defer packed.Close()
	archive, err := gzip.NewReader(packed)
	must(t, err)
	for files := tar.NewReader(archive); ; {
		file, err := files.Next()
		must(t, err)
		if !strings.HasPrefix(file.Name, "resources/imagestreams.image.openshift.io/namespaces/") || path.Base(file.Name) != stream+".json" {
			continue
		}
		found := &unstructured.Unstructured{}
		must(t, json.NewDecoder(files).Decode(&found.Object))
		return found
	}
}
