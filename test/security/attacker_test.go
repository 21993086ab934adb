package security

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/oadp-plugins/oadp-plugins/test/stack"
	"github.com/oadp-plugins/oadp-plugins/test/support/recorder"
)

// attacker is a user with a namespace, a bucket, and a server on the network.
type attacker struct {
	*cluster
	t         *testing.T
	namespace string
	name      string // of the location, and with it of the user's secret
	bucket    string
	server    *recorder.Recorder
	logFrom   int64
}

// uuid is what the controller makes names unique with.
const uuid = "5ffb0b4e-8f3c-4a52-9a7e-0f6f7d1c2b3a"

// newAttacker makes a user. What the test does from then on is judged by
// mustHaveStayedInside.
func newAttacker(t *testing.T) *attacker {
	t.Helper()
	c := theCluster(t)
	a := &attacker{cluster: c, t: t, namespace: c.NewNamespace(t), bucket: c.store.NewBucket(t), server: recorder.Listen()}
	a.name = a.namespace + "-mine-" + uuid
	t.Cleanup(a.server.Close)
	from, err := c.velero.LogEnd()
	must(t, err)
	a.logFrom = from
	c.api.Forget()
	c.s3.Forget()
	c.pulls.take()
	return a
}

// location is one as the controller of NonAdminBackupStorageLocations makes it
// from what the user wrote: beside Velero, with a copy of the user's secret.
func (a *attacker) location() stack.Location {
	l := a.store.S3Location(a.name, a.bucket)
	l.Prefix = "velero/" + a.namespace
	l.CAPEM = slices.Concat(a.s3.CAPEM, a.server.CAPEM)
	l.Config["s3Url"] = a.s3.URL
	l.Labels = map[string]string{
		"openshift.io/oadp": "True", "app.kubernetes.io/managed-by": "oadp-nac-controller",
		"openshift.io/oadp-nabsl-origin-nacuuid": uuid,
	}
	l.Annotations = map[string]string{
		"openshift.io/oadp-nabsl-origin-namespace": a.namespace,
		"openshift.io/oadp-nabsl-origin-name":      "mine",
	}
	return l
}

// offer gives a location to Velero, which lets the plugin judge it, and returns
// the phase and the message of it.
func (a *attacker) offer(ctx context.Context, location stack.Location) (phase, message string) {
	a.t.Helper()
	a.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := a.velero.RemoveLocation(ctx, location.Name); err != nil {
			a.t.Error(err)
		}
	})
	phase, message, err := a.velero.OfferLocation(ctx, location)
	must(a.t, err)
	return phase, message
}

// backup backs up the attacker's namespace to the attacker's location, as the
// controller of NonAdminBackups does. The backup has the name of the namespace.
func (a *attacker) backup(ctx context.Context) *unstructured.Unstructured {
	a.t.Helper()
	object, err := a.velero.Backup(ctx, a.namespace, map[string]any{
		"storageLocation": a.name, "includedNamespaces": []any{a.namespace}, "includedResources": []any{"imagestreams"},
		"includeClusterResources": false,
	})
	must(a.t, err)
	return object
}

// restore restores that backup into the attacker's namespace. The Restore names
// the namespace: one that names none is an administrator's, since Velero itself
// then restores into whatever namespaces the tarball has.
func (a *attacker) restore(ctx context.Context) *unstructured.Unstructured {
	a.t.Helper()
	object, err := a.velero.Restore(ctx, a.namespace, map[string]any{
		"backupName": a.namespace, "includedNamespaces": []any{a.namespace}, "includeClusterResources": false,
	})
	must(a.t, err)
	return object
}

// rewriteItems changes the objects in the tarball of the attacker's backup, in
// the attacker's bucket. change gets the path of each in the tarball, such as
// resources/imagestreams.image.openshift.io/namespaces/attacker/app.json.
func (a *attacker) rewriteItems(ctx context.Context, change func(path string, item *unstructured.Unstructured)) {
	a.t.Helper()
	client, err := a.store.Client(a.store.TLSEndpoint)
	must(a.t, err)
	key := fmt.Sprintf("velero/%s/backups/%s/%s.tar.gz", a.namespace, a.namespace, a.namespace)
	object, err := client.GetObject(ctx, a.bucket, key, minio.GetObjectOptions{})
	must(a.t, err)
	defer object.Close()
	unzipped, err := gzip.NewReader(object)
	must(a.t, err)
	var content bytes.Buffer
	zipped := gzip.NewWriter(&content)
	to := tar.NewWriter(zipped)
	changed := 0
	for from := tar.NewReader(unzipped); ; {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(a.t, err)
		data, err := io.ReadAll(from)
		must(a.t, err)
		if strings.HasPrefix(header.Name, "resources/") && strings.HasSuffix(header.Name, ".json") {
			item := &unstructured.Unstructured{}
			must(a.t, item.UnmarshalJSON(data))
			change(header.Name, item)
			data, err = item.MarshalJSON()
			must(a.t, err)
			header.Size = int64(len(data))
			changed++
		}
		must(a.t, to.WriteHeader(header))
		_, err = to.Write(data)
		must(a.t, err)
	}
	if changed == 0 {
		a.t.Fatal("the backup has no items")
	}
	must(a.t, errors.Join(to.Close(), zipped.Close()))
	_, err = client.PutObject(ctx, a.bucket, key, &content, int64(content.Len()), minio.PutObjectOptions{})
	must(a.t, err)
}

// loseNamespace deletes the attacker's namespace, so that a restore has something
// to do.
func (a *attacker) loseNamespace(ctx context.Context) {
	a.t.Helper()
	must(a.t, a.DeleteNamespace(ctx, a.namespace))
}

// mustHaveStayedInside expects of all requests since newAttacker that they are
// about the attacker's namespace, the attacker's bucket and Velero's own objects,
// and that no secret of the administrator has left the cluster.
func (a *attacker) mustHaveStayedInside() {
	a.t.Helper()
	for _, r := range a.api.Requests() {
		if what := a.outsideAPI(r); what != "" {
			a.t.Errorf("API: %s by %s: %s", r, r.Header.Get("User-Agent"), what)
		}
	}
	for _, r := range a.pulls.take() {
		if repository := repositoryOf(r); repository != "" && !strings.HasPrefix(repository, a.namespace+"/") {
			a.t.Errorf("registry: %s %s is about %s", r.Method, r.URL, repository)
		}
	}
	for _, r := range a.s3.Requests() {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
		if bucket != a.bucket {
			a.t.Errorf("store: %s is about bucket %s", r, bucket)
		}
		a.mustHideSecrets(a.t, "store: "+r.String(), headerText(r.Header))
	}
	for _, r := range a.server.Requests() {
		a.t.Errorf("the attacker's server got %s", r)
		a.mustHideSecrets(a.t, "the attacker's server: "+r.String(), append(headerText(r.Header), r.Body+r.Query.Encode()...))
	}
	log, err := os.ReadFile(a.velero.LogPath)
	must(a.t, err)
	a.mustHideSecrets(a.t, "Velero's log", log[a.logFrom:])
}

var namespaceInPath = regexp.MustCompile(`/namespaces/([^/]+)`)

// outsideAPI says what is wrong with a request to the Kubernetes API, or "".
func (a *attacker) outsideAPI(r recorder.Request) string {
	namespace := ""
	if found := namespaceInPath.FindStringSubmatch(r.Path); found != nil {
		namespace = found[1]
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case namespace == a.namespace, namespace == stack.VeleroNamespace:
		return ""
	case namespace == victim:
		return "it is about the namespace of somebody else"
	case namespace == "" && (reads || r.Path == "/api/v1/namespaces" || strings.HasPrefix(r.Path, "/apis/authorization.k8s.io/")):
		return ""
	case reads && !strings.Contains(r.Path, "/secrets"):
		return ""
	}
	return "it writes, or reads a secret, outside of the attacker's namespace"
}

var (
	repositoryInPath  = regexp.MustCompile(`^/v2/(.+?)/(?:manifests|blobs|tags)/`)
	repositoryInScope = regexp.MustCompile(`^repository:(.+):`)
)

// repositoryOf is the repository that a request to a registry is about, in the
// form NAMESPACE/STREAM, or "".
func repositoryOf(r *http.Request) string {
	for _, scope := range r.URL.Query()["scope"] {
		if found := repositoryInScope.FindStringSubmatch(scope); found != nil {
			return found[1]
		}
	}
	if found := repositoryInPath.FindStringSubmatch(r.URL.Path); found != nil {
		return found[1]
	}
	return ""
}

func headerText(header http.Header) []byte {
	var text bytes.Buffer
	_ = header.Write(&text)
	return text.Bytes()
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// keysIn are the keys of a bucket.
func (c *cluster) keysIn(ctx context.Context, t *testing.T, bucket string) []string {
	t.Helper()
	client, err := c.store.Client(c.store.TLSEndpoint)
	must(t, err)
	var keys []string
	for object := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		must(t, object.Err)
		keys = append(keys, object.Key)
	}
	return keys
}

// replace writes something else to the key of the attacker's bucket that ends in
// suffix.
func (a *attacker) replace(ctx context.Context, suffix string, content []byte) {
	a.t.Helper()
	client, err := a.store.Client(a.store.TLSEndpoint)
	must(a.t, err)
	for _, key := range a.keysIn(ctx, a.t, a.bucket) {
		if strings.HasSuffix("/"+key, suffix) {
			_, err := client.PutObject(ctx, a.bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
			must(a.t, err)
		}
	}
}

// copyRepository lets the attacker's bucket have the images of the attacker's
// stream app under the name of another repository as well, such as victim/app.
func (a *attacker) copyRepository(ctx context.Context, repository string) {
	a.t.Helper()
	client, err := a.store.Client(a.store.TLSEndpoint)
	must(a.t, err)
	own := a.namespace + "/app"
	copied := 0
	for _, key := range a.keysIn(ctx, a.t, a.bucket) {
		to := strings.ReplaceAll(key, own, repository)
		if to == key || !strings.HasPrefix(key, "docker/") {
			continue
		}
		object, err := client.GetObject(ctx, a.bucket, key, minio.GetObjectOptions{})
		must(a.t, err)
		content, err := io.ReadAll(object)
		must(a.t, errors.Join(err, object.Close()))
		content = bytes.ReplaceAll(content, []byte(own), []byte(repository))
		_, err = client.PutObject(ctx, a.bucket, to, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		must(a.t, err)
		copied++
	}
	if copied == 0 {
		a.t.Fatalf("the bucket has nothing of %s", own)
	}
}
