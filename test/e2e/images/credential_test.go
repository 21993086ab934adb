package images

import (
	"context"
	"encoding/json"
	"os"
	"slices"
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
	emptyKeys := map[string][]byte{"access_key": nil, "secret_key": nil} // as with STS
	file := map[string][]byte{"cloud": w.store.S3Location("", "").Credential}
	ofDPA := metav1.OwnerReference{APIVersion: "oadp.openshift.io/v1alpha1", Kind: "DataProtectionApplication", Name: "dpa", UID: "1"}
	for _, c := range []struct {
		name string
		// own is whether the location has a credential of its own.
		own    bool
		secret string // that is there beside it
		data   map[string][]byte
		owners []metav1.OwnerReference
		from   string // that the plugin says it uses
	}{
		{"of-the-location", true, "", nil, nil, "secret velero/credential-of-the-location, key cloud"},
		{"registry-secret", false, "oadp-registry-secret-aws-registry-secret", keys, nil, "secret velero/oadp-registry-secret-aws-registry-secret"},
		{"stale-secret", true, "oadp-stale-secret-aws-registry-secret", wrongKeys(), []metav1.OwnerReference{ofDPA}, "secret velero/credential-stale-secret, key cloud"},
		{"empty-secret", true, "oadp-empty-secret-aws-registry-secret", emptyKeys, []metav1.OwnerReference{ofDPA}, "secret velero/credential-empty-secret, key cloud"},
		{"default-secret", false, "cloud-credentials", file, nil, "secret velero/cloud-credentials, key cloud"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket := w.store.NewBucket(t)
			location := w.location(c.name, bucket)
			if !c.own {
				location.Credential = nil
			}
			w.newLocation(ctx, t, location)
			if c.secret != "" {
				w.newSecret(ctx, t, corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.secret, OwnerReferences: c.owners}, Data: c.data})
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

	must(t, w.one.push(ctx, "no-credential/web", "v1", a.images[0]))

	failures := w.partialFailure(ctx, t, "bare", a.namespace)
	if len(failures) != 2 {
		t.Fatalf("%d complaints, want one for each image stream: %q", len(failures), failures)
	}
	slices.SortFunc(failures, func(a, b string) int { return len(b) - len(a) })
	reason, reference := failures[0], failures[1]
	for _, part := range []string{
		"ImageStream no-credential/", "velero/bare", "[IMAGE_CREDENTIAL_NOT_FOUND]",
		// Each step, with what was tried.
		"(1) registry secret: secret velero/oadp-bare-aws-registry-secret is missing since backup storage location bare is not managed by a DPA",
		"oc label backupstoragelocation bare -n velero app.kubernetes.io/component=bsl",
		"let the DPA reconcile", "set spec.credential",
		"(2) default secret: backup storage location velero/bare has no spec.credential, and default secret velero/cloud-credentials does not exist",
		"mounted file", "/credentials/cloud", "ambient identity",
	} {
		if !strings.Contains(reason, part) {
			t.Errorf("the error does not say %q: %s", part, reason)
		}
	}
	if !strings.Contains(reference, "[OPENSHIFT_IMAGES_UNAVAILABLE]") || strings.Contains(reference, "(1)") {
		t.Errorf("the second error does not refer to the first: %s", reference)
	}
	if tree := w.tree(ctx, t, bucket); len(tree.Repositories)+len(tree.Blobs)+len(tree.Own) != 0 {
		t.Errorf("the bucket has images: %v", tree)
	}

	backup(ctx, t, w.velero, "with", "with", a.namespace)
	w.tree(ctx, t, bucket)
	mustHaveCleanLog(ctx, t, w.velero, from, "[IMAGE_CREDENTIAL_NOT_FOUND]", "[OPENSHIFT_IMAGES_UNAVAILABLE]")
	w.mustHaveDecentLog(t)
}

// TestCredentialIsRefused backs up with a registry secret, made by hand, whose
// keys are wrong. Once it is gone the credential of the location counts.
func TestCredentialIsRefused(t *testing.T) {
	ctx, w := newContext(t), theWorld(t)
	a := newApp(ctx, t, w.one, "refused", 6500, 1, smallLayer)
	bucket := w.store.NewBucket(t)
	w.newLocation(ctx, t, w.location("refused", bucket))
	const secret = "oadp-refused-aws-registry-secret"
	w.newSecret(ctx, t, corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}, Data: wrongKeys()})

	failures := w.partialFailure(ctx, t, "refused", a.namespace)
	for _, part := range []string{"refused/app", bucket, "docker/registry/", "secret velero/" + secret, "InvalidAccessKeyId", "HTTP 403", "request id"} {
		if !strings.Contains(strings.Join(failures, "\n"), part) {
			t.Errorf("the error does not say %q: %s", part, failures)
		}
	}
	must(t, w.one.cluster.Kubernetes.CoreV1().Secrets(stack.VeleroNamespace).Delete(ctx, secret, metav1.DeleteOptions{}))
	backup(ctx, t, w.velero, "refused-no-more", "refused", a.namespace)
	w.mustHaveDecentLog(t)
}

func wrongKeys() map[string][]byte {
	return map[string][]byte{"access_key": []byte("other"), "secret_key": []byte("wrong-secret")}
}

// partialFailure backs up to a location of the same name, without success, and
// returns the complaints.
func (w *world) partialFailure(ctx context.Context, t *testing.T, name, namespace string) []string {
	t.Helper()
	object, err := w.velero.Backup(ctx, name, imageStreams(name, namespace))
	must(t, err)
	failures := complaints(ctx, t, w.velero, object)
	if phase := stack.Phase(object); phase != "PartiallyFailed" {
		t.Errorf("the backup is %s: %q", phase, failures)
	}
	return failures
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
