package images

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
)

// TestCredentials backs up images to locations that no DPA manages, with every
// place in turn that may have a credential for them.
func TestCredentials(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	from := w.logEnd(t)
	a := newApp(ctx, t, w.one, "credentials", 5000, 1, smallLayer)
	keys := map[string][]byte{"access_key": []byte(w.store.AccessKey), "secret_key": []byte(w.store.SecretKey)}
	wrong := map[string][]byte{"access_key": []byte("other"), "secret_key": []byte("wrong-secret")}
	file := map[string][]byte{"cloud": w.store.S3Location("", "").Credential}
	ofDPA := metav1.OwnerReference{APIVersion: "oadp.openshift.io/v1alpha1", Kind: "DataProtectionApplication", Name: "dpa", UID: "1"}
	for _, c := range []struct {
		name string
		// own is whether the location has a credential of its own.
		own     bool
		secrets map[string]map[string][]byte
		owners  []metav1.OwnerReference
		from    string // that the plugin says it uses
	}{
		{"of-the-location", true, nil, nil, "secret velero/credential-of-the-location, key cloud"},
		{"registry-secret", false, secrets("oadp-registry-secret-aws-registry-secret", keys), nil, "secret velero/oadp-registry-secret-aws-registry-secret"},
		{"stale-secret", true, secrets("oadp-stale-secret-aws-registry-secret", wrong), []metav1.OwnerReference{ofDPA}, "secret velero/credential-stale-secret, key cloud"},
		{"empty-secret", true, secrets("oadp-empty-secret-aws-registry-secret", map[string][]byte{"access_key": nil, "secret_key": nil}), nil, "secret velero/credential-empty-secret, key cloud"},
		{"default-secret", false, secrets("cloud-credentials", file), nil, "secret velero/cloud-credentials, key cloud"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket := w.store.NewBucket(t)
			location := w.location(c.name, bucket)
			if !c.own {
				location.Credential = nil
			}
			w.newLocation(ctx, t, location)
			for name, data := range c.secrets {
				w.newSecret(ctx, t, corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: c.owners}, Data: data})
			}
			begin := w.logEnd(t)
			backup(ctx, t, w.velero, c.name, c.name, a.namespace)
			if tree := w.tree(ctx, t, bucket); tree.Repositories["credentials/app"] == nil {
				t.Errorf("the bucket has only %v", tree.Repositories)
			}
			if found := w.pluginSays(t, begin, "a bucket for images is open"); len(found) != 1 || found[0]["credential"] != c.from {
				t.Errorf("the plugin says %v, want the credential from %s", found, c.from)
			}
		})
	}
	mustHaveCleanLog(ctx, t, w.velero, from)
	w.mustHaveDecentLog(t)
}

func secrets(name string, data map[string][]byte) map[string]map[string][]byte {
	return map[string]map[string][]byte{name: data}
}

// TestNoCredential backs up to a location for which no credential is to be found:
// only the aws plugin's environment has one. Velero can keep the backup, images
// cannot be reached.
func TestNoCredential(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	a := newApp(ctx, t, w.one, "no-credential", 6000, 2, smallLayer)
	bucket := w.store.NewBucket(t)
	bare := w.location("bare", bucket)
	bare.Credential = nil
	w.newLocation(ctx, t, bare)
	w.newLocation(ctx, t, w.location("with", bucket))
	from := w.logEnd(t)

	object, err := w.velero.Backup(ctx, "bare", imageStreams("bare", a.namespace))
	must(t, err)
	if phase := stack.Phase(object); phase != "PartiallyFailed" {
		t.Errorf("the backup is %s", phase)
	}
	failures := complaints(ctx, t, w.velero, object)
	if len(failures) != 1 {
		t.Errorf("%d complaints, want one: %q", len(failures), failures)
	}
	for _, part := range []string{
		"ImageStream no-credential/app",
		"velero/bare", "[IMAGE_CREDENTIAL_NOT_FOUND]",
		// Each step, with what was tried.
		"(1) registry secret: secret velero/oadp-bare-aws-registry-secret is missing since backup storage location bare is not managed by a DPA",
		"oc label backupstoragelocation bare -n velero app.kubernetes.io/component=bsl",
		"let the DPA reconcile", "set spec.credential",
		"(2) default secret: backup storage location velero/bare has no spec.credential, and default secret velero/cloud-credentials does not exist",
		"mounted file", "/credentials/cloud", "ambient identity",
	} {
		if !strings.Contains(strings.Join(failures, "\n"), part) {
			t.Errorf("the error does not say %q: %s", part, failures)
		}
	}
	if tree := w.tree(ctx, t, bucket); len(tree.Repositories)+len(tree.Blobs)+len(tree.Own) != 0 {
		t.Errorf("the bucket has images: %v", tree)
	}
	// All but the image stream is in the backup.
	if n := object.Object["status"].(map[string]any)["errors"]; n != int64(1) {
		t.Errorf("%v errors", n)
	}

	backup(ctx, t, w.velero, "with", "with", a.namespace)
	w.tree(ctx, t, bucket)
	mustHaveCleanLog(ctx, t, w.velero, from, "IMAGE_CREDENTIAL_NOT_FOUND")
	w.mustHaveDecentLog(t)
}

// newSecret makes a secret beside Velero for the time of a test.
func (w *world) newSecret(ctx context.Context, t *testing.T, secret corev1.Secret) {
	t.Helper()
	client := w.one.cluster.Kubernetes.CoreV1().Secrets(stack.VeleroNamespace)
	_, err := client.Create(ctx, &secret, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		if err := client.Delete(context.Background(), secret.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}

// pluginSays are the lines with a message in the server's log from an offset on.
func (w *world) pluginSays(t *testing.T, from int64, message string) []map[string]any {
	t.Helper()
	log, err := os.ReadFile(w.velero.LogPath)
	must(t, err)
	var found []map[string]any
	for text := range strings.Lines(string(log[from:])) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}
