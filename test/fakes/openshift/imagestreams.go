package openshift

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// manifest is one as it is pushed.
type manifest struct {
	mediaType string
	digest    string
	content   []byte
}

// getManifest serves a manifest if the image stream names it, or an index that
// the image stream names.
func (r *Registry) getManifest(w http.ResponseWriter, req *http.Request, what request) {
	found, err := r.resolve(req.Context(), what)
	if err != nil {
		unknown(err).write(w)
		return
	}
	if found == "" {
		(&refusal{status: http.StatusNotFound, code: "MANIFEST_UNKNOWN", message: "manifest unknown"}).write(w)
		return
	}
	if m, ok := r.servedManifest(what.repository(), found); ok {
		m.write(w, req)
		return
	}
	req.URL.Path = "/v2/" + what.repository() + "/manifests/" + found
	r.proxy.ServeHTTP(w, req)
}

// deleteManifest removes a manifest that the image stream does not name.
func (r *Registry) deleteManifest(w http.ResponseWriter, req *http.Request, what request) {
	switch found, err := r.resolve(req.Context(), what); {
	case err != nil:
		unknown(err).write(w)
	case found != "":
		(&refusal{status: http.StatusMethodNotAllowed, code: "UNSUPPORTED", message: "the image stream has the image"}).write(w)
	default:
		r.proxy.ServeHTTP(w, req)
	}
}

// resolve returns the digest of a manifest of an image stream, or "".
func (r *Registry) resolve(ctx context.Context, what request) (string, error) {
	stream, err := r.streams(what.namespace).Get(ctx, what.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	named := append(slices.Clone(r.indexes[what.reference]), what.reference)
	r.mu.Unlock()
	tags, _, _ := unstructured.NestedFieldNoCopy(stream.Object, "status", "tags")
	for _, entry := range objects(tags) {
		for i, item := range objects(entry["items"]) {
			switch image, _ := item["image"].(string); {
			case what.byTag() && entry["tag"] == what.reference && i == 0:
				return image, nil
			case slices.Contains(named, image):
				return what.reference, nil
			}
		}
	}
	return "", nil
}

// putManifest lets the stock registry store a manifest, and the image stream
// name it before the client knows.
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, what request, user authenticationv1.UserInfo) {
	content, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	req.Body = io.NopCloser(bytes.NewReader(content))
	stored := httptest.NewRecorder()
	r.proxy.ServeHTTP(stored, req)
	if stored.Code == http.StatusCreated {
		m := manifest{req.Header.Get("Content-Type"), digest.FromBytes(content).String(), content}
		if err := r.mapImage(req.Context(), what, user, m); err != nil {
			refuseMapping(err).write(w)
			return
		}
	}
	maps.Copy(w.Header(), stored.Header())
	w.WriteHeader(stored.Code)
	_, _ = w.Write(stored.Body.Bytes())
}

// refuseMapping is how an error of the API server reaches the client.
func refuseMapping(err error) *refusal {
	if apierrors.IsForbidden(err) {
		return &refusal{status: http.StatusForbidden, code: "DENIED", message: "requested access to the resource is denied"}
	}
	return unknown(err)
}

// mapImage makes the objects that tell of a manifest: an Image, and with a tag
// an entry of the image stream. The user makes an image stream that is not
// there.
func (r *Registry) mapImage(ctx context.Context, what request, user authenticationv1.UserInfo, m manifest) error {
	r.learnIndex(m)
	repository := r.Host + "/" + what.repository()
	if err := r.createImage(ctx, repository, m); err != nil || !what.byTag() {
		return err
	}
	return retry.OnError(betweenWriters(), contended, func() error {
		stream, err := r.streams(what.namespace).Get(ctx, what.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			stream, err = r.createStream(ctx, what, user)
		}
		if err != nil {
			return err
		}
		if !addItem(stream, what.reference, repository, m.digest) {
			return nil
		}
		_, err = r.streams(what.namespace).Update(ctx, stream, metav1.UpdateOptions{})
		return err
	})
}

// contended reports whether somebody else has written an image stream first.
func contended(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// betweenWriters is how long to wait then, and how often.
func betweenWriters() wait.Backoff {
	return wait.Backoff{Steps: 100, Duration: 5 * time.Millisecond, Factor: 1, Jitter: 1}
}

// learnIndex remembers what an index names.
func (r *Registry) learnIndex(m manifest) {
	var index struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	_ = json.Unmarshal(m.content, &index) // the stock registry has read it
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, child := range index.Manifests {
		r.indexes[child.Digest] = append(r.indexes[child.Digest], m.digest)
	}
}

// createImage makes the Image of a manifest, unless there is one. Its name
// cannot be the digest, which holds a colon.
func (r *Registry) createImage(ctx context.Context, repository string, m manifest) error {
	image := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": imageGroup + "/v1", "kind": "Image",
		"metadata": map[string]any{
			"name": strings.Replace(m.digest, ":", "-", 1),
			"annotations": map[string]any{
				"openshift.io/image.managed":            "true",
				"image.openshift.io/manifestBlobStored": "true",
			},
		},
		"dockerImageReference":         repository + "@" + m.digest,
		"dockerImageManifestMediaType": m.mediaType,
	}}
	_, err := r.cluster.Dynamic.Resource(imageResource("images")).Create(ctx, image, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (r *Registry) createStream(ctx context.Context, what request, user authenticationv1.UserInfo) (*unstructured.Unstructured, error) {
	config := rest.CopyConfig(r.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string][]string{}}
	for key, value := range user.Extra {
		config.Impersonate.Extra[key] = value
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	stream := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": imageGroup + "/v1", "kind": "ImageStream", "metadata": map[string]any{"name": what.name},
	}}
	return client.Resource(imageResource("imagestreams")).Namespace(what.namespace).Create(ctx, stream, metav1.CreateOptions{})
}

func (r *Registry) streams(namespace string) dynamic.ResourceInterface {
	return r.cluster.Dynamic.Resource(imageResource("imagestreams")).Namespace(namespace)
}

// addItem puts an item in front of a tag's history and reports whether it was
// not the first one already.
func addItem(stream *unstructured.Unstructured, tag, repository, image string) bool {
	status, _ := stream.Object["status"].(map[string]any)
	if status == nil {
		status = map[string]any{}
		stream.Object["status"] = status
	}
	entries := objects(status["tags"])
	i := slices.IndexFunc(entries, func(entry map[string]any) bool { return entry["tag"] == tag })
	if i < 0 {
		entries, i = append(entries, map[string]any{"tag": tag}), len(entries)
	}
	items := objects(entries[i]["items"])
	item := map[string]any{
		"created":              time.Now().UTC().Format(time.RFC3339),
		"dockerImageReference": repository + "@" + image,
		"image":                image,
		"generation":           stream.GetGeneration(),
	}
	if len(items) > 0 && items[0]["image"] == image && items[0]["dockerImageReference"] == item["dockerImageReference"] {
		return false
	}
	entries[i]["items"] = list(slices.Insert(items, 0, item))
	status["tags"] = list(entries)
	status["dockerImageRepository"] = repository
	return true
}

// objects are the elements of a list in an object.
func objects(field any) []map[string]any {
	elements, _ := field.([]any)
	var all []map[string]any
	for _, element := range elements {
		object, _ := element.(map[string]any)
		all = append(all, object)
	}
	return all
}

// list is what goes into an object for its elements.
func list(elements []map[string]any) []any {
	var all []any
	for _, element := range elements {
		all = append(all, element)
	}
	return all
}
