package images

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// TestMissingImageFailsItsTagOnly backs up an image stream whose tag "broken" names
// an image that the registry does not have. The backup says so, by an error and by a
// failed operation, and has all other tags with their images.
func TestMissingImageFailsItsTagOnly(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	bucket := w.store.NewBucket(t)
	here := w.location("missing", bucket)
	w.newLocation(ctx, t, here)
	a := newApp(ctx, t, w.one, "missing", 9000, 2, smallLayer)
	gone := "sha256:" + strings.Repeat("0", 64)
	must(t, w.one.name(ctx, a.namespace, "app", "broken", w.one.registry.Host+"/missing/app", gone))

	object, err := w.velero.Backup(ctx, "missing", imageStreams(here.Name, a.namespace))
	must(t, err)
	if phase := stack.Phase(object); phase != "PartiallyFailed" {
		t.Errorf("the backup is %s", phase)
	}
	if n, _, _ := unstructured.NestedInt64(object.Object, "status", "backupItemOperationsFailed"); n != 1 {
		t.Errorf("%d failed operations: %v", n, object.Object["status"])
	}
	mustName := func(object *unstructured.Unstructured) {
		t.Helper()
		said := complaints(ctx, t, w.velero, object)
		if !slices.ContainsFunc(said, func(line string) bool {
			return strings.Contains(line, `"level":"error"`) && strings.Contains(line, "OPENSHIFT_IMAGE_MISSING") &&
				strings.Contains(line, "tag broken") && strings.Contains(line, gone)
		}) {
			t.Errorf("the log of %s %s names no tag: %q", object.GetKind(), object.GetName(), said)
		}
	}
	mustName(object)
	w.tree(ctx, t, bucket)

	must(t, w.one.cluster.DeleteNamespace(ctx, a.namespace))
	object, err = w.velero.Restore(ctx, "missing", map[string]any{"backupName": "missing"})
	must(t, err)
	if phase := stack.Phase(object); phase != "PartiallyFailed" {
		t.Errorf("the restore is %s", phase)
	}
	mustName(object)
	a.mustBeBack(ctx, t, w.one, a.namespace)

	must(t, w.velero.DeleteBackup(ctx, "missing"))
	if left := contents(w.tree(ctx, t, bucket)); len(left) != 0 {
		t.Errorf("the deletion of the backup has left %q", left)
	}
	w.mustHaveDecentLog(t)
}
